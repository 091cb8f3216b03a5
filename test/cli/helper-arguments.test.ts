// The mount helper understands its arguments as mount(8) gives them.
import { describe, expect, it } from 'vitest'
import { parseHelperArguments } from '../../src/cli/mount-helper.ts'

describe('arguments of the mount helper, as mount(8) gives them', () => {
  it('options stand anywhere, flags may be joined, values may be', () => {
    const args = ['s3://b/p', '/mnt', '-sfn', '-v', '-o', 'rw,nofail', '-orw', '-t', 'fuse.cairnfs', '-N', '42']
    expect(parseHelperArguments(args, 'sfnv')).toEqual({
      positional: ['s3://b/p', '/mnt'],
      flags: new Set(['s', 'f', 'n', 'v']),
      options: ['rw,nofail', 'rw'],
      namespace: '42',
    })
    expect(parseHelperArguments(['--', '-odd', '/mnt'], '')).toMatchObject({ positional: ['-odd', '/mnt'] })
  })

  it('unknown flags and missing values are refused', () => {
    expect(() => parseHelperArguments(['-x'], 'sfnv')).toThrow('-x')
    expect(() => parseHelperArguments(['a', 'b', '-o'], 'sfnv')).toThrow('-o needs a value')
  })
})
