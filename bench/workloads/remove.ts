// Taking the directory away with all that is in it, from cold; the barrier counts.
import { expectLines, type Workload } from './workload.ts'

export const remove: Workload = {
  id: 'rm',
  title: '`rm -rf`, and sync',
  kind: 'remove',
  temperatures: ['cold'],
  command: (directory) => ({ program: 'rm', args: ['-rf', directory] }),
  onBucket: null,
  judge: (output) => expectLines(output, 0),
}
