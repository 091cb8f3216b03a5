// Waiting for something that the outside does, never without a deadline.

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Whether `condition` came to hold in time; it is asked every 10 ms. */
export async function holdsWithin(limitMs: number, condition: () => boolean): Promise<boolean> {
  const deadline = performance.now() + limitMs
  while (!condition()) {
    if (performance.now() > deadline) return false
    await sleep(10)
  }
  return true
}

/** Waits until `condition` holds; rejects, naming `what`, when that takes too long. */
export async function until(limitMs: number, what: string, condition: () => boolean): Promise<void> {
  if (!(await holdsWithin(limitMs, condition))) throw new Error(`waited ${limitMs / 1000} s for ${what}`)
}
