// The daemon's side of `cairnfs quota`.
import type { Filesystem, Ino, QuotaAdmin, QuotaCheck, QuotaReport, QuotaSubject } from '../vfs/index.ts'
import { ROOT_INO } from '../vfs/index.ts'
import { CommandError, codeOf } from './errors.ts'
import type { QuotaCommand, QuotaLine, QuotaTarget } from './quota-protocol.ts'

/** Whoever may ask the daemon may do what it may. */
const CALLER = { uid: process.geteuid!(), gid: process.getegid!(), pid: process.pid }
/** How long `set` waits for what is to be counted: mostly it is little. */
const COUNTED_WITHIN_MS = 1000

/** Does what is asked, and hands on each quota that there is to show. */
export async function answerQuota(
  { filesystem, quotas }: { filesystem: Filesystem; quotas: QuotaAdmin },
  command: QuotaCommand,
  show: (line: QuotaLine) => Promise<void>,
): Promise<void> {
  if (!('target' in command)) {
    const reports = await (command.action === 'list' ? quotas.list() : quotas.check())
    for (const line of reports.map(lineOf).sort(inOrder)) await show(line)
    return
  }
  const { action, target } = command
  await withSubject(filesystem, target, async (subject) => {
    if (action === 'set') {
      const { bytes, inodes } = command
      await quotas.set(subject, {
        ...(bytes === undefined ? {} : { bytes }),
        ...(inodes === undefined ? {} : { inodes }),
      })
      await countedSoon(quotas)
    } else if (action === 'remove') {
      if (!(await quotas.remove(subject))) throw none(target)
      return
    }
    const report = await quotas.get(subject)
    if (report === null) throw none(target)
    await show(lineOf(report))
  }).catch((error: unknown) => {
    throw explained(error, target)
  })
}

async function countedSoon(quotas: QuotaAdmin): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, COUNTED_WITHIN_MS)
  })
  await Promise.race([quotas.counted(), late])
  clearTimeout(timer)
}

/** Finds the directory of a tree, and holds on to it meanwhile. */
async function withSubject(
  filesystem: Filesystem,
  target: QuotaTarget,
  use: (subject: QuotaSubject) => Promise<void>,
): Promise<void> {
  if (target.kind !== 'tree') return use(target)
  const held: Ino[] = []
  try {
    let ino: Ino = ROOT_INO
    for (const name of target.directory) {
      ino = (await filesystem.lookup(CALLER, ino, Buffer.from(name))).attributes.ino
      held.push(ino)
    }
    await use({ kind: 'tree', ino })
  } finally {
    for (const ino of held) filesystem.forget(ino, 1)
  }
}

export function nameOf(target: QuotaTarget): string {
  switch (target.kind) {
    case 'volume':
      return 'the volume'
    case 'tree':
      return target.directory.length === 0 ? 'the root directory' : `/${target.directory.join('/')}`
    default:
      return `${target.kind} ${target.id}`
  }
}

function none(target: QuotaTarget): CommandError {
  return new CommandError(`there is no quota on ${nameOf(target)}: cairnfs quota list shows those there are`)
}

function explained(error: unknown, target: QuotaTarget): unknown {
  const name = nameOf(target)
  switch (codeOf(error)) {
    case 'EROFS':
      return new CommandError(`${name} is on a mount that takes no changes: mount it for writing`)
    case 'ENOTDIR':
      return new CommandError(`${name} is not a directory: a tree has its limit on its topmost directory`)
    case 'ENOENT':
      return new CommandError(`${name} does not exist: check the path`)
    default:
      return error
  }
}

const KINDS: readonly QuotaTarget['kind'][] = ['tree', 'volume', 'uid', 'gid']

/** A tree before those in it, uids by number. */
function inOrder(one: QuotaLine, other: QuotaLine): number {
  const byKind = KINDS.indexOf(one.kind) - KINDS.indexOf(other.kind)
  const [path, otherPath] = [one.path ?? '', other.path ?? '']
  return byKind || (path < otherPath ? -1 : Number(path > otherPath)) || (one.id ?? 0) - (other.id ?? 0)
}

function lineOf(report: QuotaReport | QuotaCheck): QuotaLine {
  const { subject, path, bytes, inodes, bytesUsed, inodesUsed, isCounting } = report
  return {
    kind: subject.kind,
    ...(path === null ? {} : { path: `/${path.map((name) => name.toString()).join('/')}` }),
    ...('id' in subject ? { id: subject.id } : {}),
    bytes: { used: bytesUsed, limit: bytes },
    inodes: { used: inodesUsed, limit: inodes },
    counting: isCounting,
    ...('counted' in report ? { counted: report.counted, recorded: report.recorded } : {}),
  }
}
