// Paths of inodes, for people: as far as the tables lead from an inode up to the root.
import { DIRECTORY, dentryIno, dentryName, ROOT_INO } from '../../meta/index.ts'
import { FsError, printable } from '../../platform/index.ts'
import type { CheckContext } from './context.ts'
import { dentryProblem } from './records.ts'
import type { Edge } from './survey.ts'

const DEPTH_MAX = 4096

export class Paths {
  readonly #context: CheckContext
  readonly #directories = new Map<number, string | null>([[ROOT_INO, '']])

  constructor(context: CheckContext) {
    this.#context = context
  }

  /** Null where no way leads to it from the root. */
  async of(ino: number): Promise<string | null> {
    if (ino === ROOT_INO) return '/'
    const edge = this.#edgeOf(ino)
    if (edge === null) return null
    const name = await this.#nameAt(edge, ino)
    const above = name === null ? null : await this.#directory(edge.directory, 0)
    return above === null ? null : `${above}/${name}`
  }

  async #directory(ino: number, depth: number): Promise<string | null> {
    const known = this.#directories.get(ino)
    if (known !== undefined) return known
    const edge = depth < DEPTH_MAX ? this.#edgeOf(ino) : null
    const name = edge === null ? null : await this.#nameAt(edge, ino)
    const above = edge === null || name === null ? null : await this.#directory(edge.directory, depth + 1)
    const path = above === null ? null : `${above}/${name}`
    this.#directories.set(ino, path)
    return path
  }

  #edgeOf(ino: number): Edge | null {
    const { survey } = this.#context
    const directory = survey.directories.get(ino)
    if (directory !== undefined && directory.upDirectory !== 0)
      return { directory: directory.upDirectory, key: directory.upKey }
    const shared = survey.shared.get(ino)
    if (shared !== undefined) return shared.directory === 0 ? null : shared
    return survey.unconfirmed.get(ino)?.[0] ?? survey.parents.of(ino)
  }

  async #nameAt({ directory, key }: Edge, ino: number): Promise<string | null> {
    const { database } = this.#context
    try {
      return await database.run(() => {
        const record = database.table(DIRECTORY, directory).get(key)
        if (record === null || dentryProblem(record, 0, record.length) !== null) return null
        return dentryIno(record, 0) === ino ? printable(dentryName(record, 0)) : null
      })
    } catch (error) {
      // What cannot be read has no name here; the damage is told of itself.
      if (error instanceof FsError && error.code === 'EIO') return null
      throw error
    }
  }
}
