// One at a time, in order of asking.

export class Mutex {
  #tail: Promise<void> | null = null

  get isHeld(): boolean {
    return this.#tail !== null
  }

  /** Resolves to the function that releases; at once (no promise) when it is free. */
  acquire(): (() => void) | Promise<() => void> {
    const before = this.#tail
    let release = () => {}
    const tail = new Promise<void>((resolve) => {
      release = () => {
        if (this.#tail === tail) this.#tail = null
        resolve()
      }
    })
    this.#tail = tail
    return before === null ? release : before.then(() => release)
  }
}

/** A door that may be shut for a while. */
export class Gate {
  readonly opened: Promise<void>
  #open: () => void = () => {}

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  open(): void {
    this.#open()
  }
}
