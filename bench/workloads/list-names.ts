// Names alone, unsorted.
import { expectLines, type Workload } from './workload.ts'

export const listNames: Workload = {
  id: 'ls-f',
  title: '`ls -f`',
  kind: 'read',
  temperatures: ['cold', 'warm'],
  command: (directory) => ({ program: 'ls', args: ['-f', directory] }),
  warmUp: (folder) => ({ program: 'ls', args: ['-f', folder] }),
  onBucket: 'names',
  // With "." and "..".
  judge: (output, entries) => expectLines(output, entries + 2),
}
