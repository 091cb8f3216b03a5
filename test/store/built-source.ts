// src/ as JavaScript, for tests that need several processes: Node 20 runs no TypeScript, and dist/ may be missing or old.
//
// Must stay true: the result lies below node_modules, so that its imports of packages resolve, and is removed at the end;
// type errors elsewhere in the checkout do not matter.
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

export interface BuiltSource {
  /** Folder that mirrors src/, with `.js` files. */
  path: string
  remove(): Promise<void>
}

/** Compiles these folders of src/ and what they import. */
export async function buildSource(...folders: string[]): Promise<BuiltSource> {
  const root = resolve(import.meta.dirname, '../..')
  const cache = join(root, 'node_modules/.cache')
  await mkdir(cache, { recursive: true })
  const path = await mkdtemp(join(cache, 'cairnfs-test-'))
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { noEmit: false, noCheck: true, outDir: path, rootDir: join(root, 'src') },
    include: folders.map((folder) => join(root, 'src', folder)),
  }
  await writeFile(join(path, 'tsconfig.json'), JSON.stringify(config))
  await writeFile(join(path, 'package.json'), JSON.stringify({ type: 'module' }))
  await new Promise<void>((done, fail) => {
    execFile(join(root, 'node_modules/.bin/tsc'), ['-p', path], (error, stdout) =>
      error === null ? done() : fail(new Error(`tsc: ${stdout}`, { cause: error })),
    )
  })
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}
