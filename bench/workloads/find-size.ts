// A search by size, which asks for every file's attributes.
import { expectLines, type Workload } from './workload.ts'

export const findSize: Workload = {
  id: 'find-size',
  title: '`find -size`',
  kind: 'read',
  temperatures: ['cold', 'warm'],
  command: (directory) => ({ program: 'find', args: [directory, '-type', 'f', '-size', '0'] }),
  warmUp: (folder) => ({ program: 'find', args: [folder, '-type', 'f', '-size', '0'] }),
  onBucket: 'names',
  judge: (output, entries) => expectLines(output, entries),
}
