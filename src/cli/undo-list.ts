// What is to be undone when a mount does not come about, or has ended: in reverse order of doing.
//
// Must stay true: each step runs at most once; one that fails does not keep the others from running.

type Step = () => void | Promise<void>

export class UndoList {
  #steps: Step[] = []

  add(step: Step): void {
    this.#steps.push(step)
  }

  /** Undoes everything. Rejects, once all has been tried, with the first failure. */
  async all(): Promise<void> {
    const failures: unknown[] = []
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
