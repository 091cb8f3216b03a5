// Samba on a directory that ignores case: whatever spelling a client uses, the directory finds it, and nobody looks through
// 30,000 names.
import { expect, test } from 'vitest'
import { BY_DIRECTORY, BY_MODULE } from '../../bench/smb/samba.ts'
import { documentedRecipes, testShare } from './samba-share.ts'

const ENTRIES = 30_000

test('the recipes of docs/SAMBA.md are those that are tested', () => {
  expect(documentedRecipes()).toEqual([BY_DIRECTORY, BY_MODULE])
})

testShare(ENTRIES, 'lists, creates, opens, renames and removes by any case, by both recipes', async (share, volume) => {
  // What sets the recipes apart, as docs/SAMBA.md says: masks, and names of more than 227 bytes.
  share.put('a', 'x')
  const long = `Long${'x'.repeat(236)}`
  await share.smb('directory', `put a Mask.txt; put a ${long}; get ${long.toUpperCase()} got`)
  expect(await share.list('directory', 'mask*')).toEqual([])
  expect(await share.list('module', 'mask*')).toEqual(['Mask.txt'])
  await share.smb('module', `get ${long.toUpperCase()} got`)
  expect(await share.failure('module', `put a Other${long.slice(5)}`)).toBe('NT_STATUS_INTEGER_OVERFLOW')
  // A name is not spelled anew by a client.
  for (const name of ['directory', 'module']) {
    expect(await share.failure(name, 'rename mask.txt MASK.TXT')).toBe('NT_STATUS_OBJECT_NAME_COLLISION')
  }
  await volume.cairnfs(['recase', `${volume.mountpoint}/d/MASK.TXT`])
  expect(await share.list('module', 'mask*')).toEqual(['MASK.TXT'])
  await share.stop()
  await volume.remountCold()
  expect(await volume.shell('ls d | wc -l; ls d | grep -v ^file-')).toBe(`${ENTRIES + 2}\n${long}\nMASK.TXT\n`)
})
