// Mounting a volume that was unmounted in order, by a new daemon, with nothing cached, and looking the directory up: what
// comes before everything that is cold, and what it brings along is not counted there.
import type { Workload } from './workload.ts'

export const mount: Workload = {
  id: 'mount',
  title: 'mount, and look it up',
  kind: 'mount',
  temperatures: ['cold'],
  command: (directory) => ({ program: 'stat', args: [directory] }),
  onBucket: null,
  judge: () => ({}),
}
