// Where the programs of peers are: CAIRNFS_PEER_NAME names each. scripts/bench-peers, which scripts/bench runs, installs
// those that are packages and sets the variables.
import type { Workspace } from '../workspace.ts'

/** The path in CAIRNFS_PEER_NAME; throws without. */
export function peerBinary(name: string): string {
  const path = process.env[variable(name)]
  if (!path) throw new Error(`${variable(name)} is not set`)
  return path
}

/** What the program says its version is, or why there is none. */
export async function probePeer(
  workspace: Workspace,
  name: string,
  versionArgument: string,
): Promise<{ version: string } | { missing: string }> {
  const program = process.env[variable(name)]
  if (!program) return { missing: `${variable(name)} names no binary` }
  return probeProgram(workspace, program, versionArgument)
}

/** The first thing in a program's output that looks like a version. */
export async function probeProgram(
  workspace: Workspace,
  program: string,
  versionArgument: string,
): Promise<{ version: string } | { missing: string }> {
  try {
    const { stdout, stderr, status } = await workspace.run({ program, args: [versionArgument] }, { limitMs: 30_000 })
    const version = /\d+\.\d+(\.\d+)?/.exec(stdout + stderr)?.[0]
    return version === undefined ? { missing: `${program} ${versionArgument} ended with ${status}` } : { version }
  } catch (error) {
    return { missing: `${program}: ${(error as Error).message}` }
  }
}

function variable(name: string): string {
  return `CAIRNFS_PEER_${name.toUpperCase()}`
}
