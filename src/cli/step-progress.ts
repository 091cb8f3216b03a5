// The progress bar of work in steps: how far, how fast, how long still. On a terminal only: elsewhere nothing is shown, and
// cli-progress is not even loaded.
import { formatSize } from './units.ts'

export interface StepProgress {
  /** Tells where a step is; another `step` begins a new bar. `total` null: only how much is done is known. */
  update(step: string, done: number, total: number | null, unit?: string): void
  stop(): void
}

export async function showSteps(): Promise<StepProgress> {
  if (!process.stderr.isTTY) return { update() {}, stop() {} }
  const { Presets, SingleBar } = await import('cli-progress')
  let bar: InstanceType<typeof SingleBar> | null = null
  let current = ''
  let beganMs = 0
  return {
    update(step, done, total, unit) {
      const inUnits = (value: number) => (unit === 'bytes' ? formatSize(value) : String(value))
      if (step !== current) {
        bar?.stop()
        const format =
          total === null
            ? `${step}: {shown} ({rate}/s)`
            : `${step} [{bar}] {shown} of {whole} | {rate}/s | {eta_formatted} left`
        bar = new SingleBar({ format, hideCursor: true, clearOnComplete: true, stream: process.stderr }, Presets.rect)
        current = step
        beganMs = performance.now()
        bar.start(total ?? Math.max(1, done), done, { rate: 0, shown: inUnits(done), whole: inUnits(total ?? done) })
      }
      const rate = inUnits(Math.round(done / Math.max(0.001, (performance.now() - beganMs) / 1000)))
      if (total !== null) bar?.setTotal(total)
      bar?.update(done, { rate, shown: inUnits(done), whole: inUnits(total ?? done) })
    },
    stop() {
      bar?.stop()
    },
  }
}
