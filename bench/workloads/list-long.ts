// Names and attributes, unsorted: what this filesystem is judged by.
import { expectLines, type Workload } from './workload.ts'

export const listLong: Workload = {
  id: 'ls-lU',
  title: '`ls -lU`',
  kind: 'read',
  temperatures: ['cold', 'warm'],
  command: (directory) => ({ program: 'ls', args: ['-lU', directory] }),
  warmUp: (folder) => ({ program: 'ls', args: ['-lU', folder] }),
  onBucket: 'attributes',
  // With the line "total".
  judge: (output, entries) => expectLines(output, entries + 1),
}
