// The version of this cairnfs, from package.json, which lies two levels above both src/cli/ and dist/cli/.
import { readFileSync } from 'node:fs'

export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
).version
