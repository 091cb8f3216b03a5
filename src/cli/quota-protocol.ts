// Quotas over the control socket: what `cairnfs quota` asks and hears (control-protocol.ts).

export type QuotaTarget =
  | { kind: 'volume' }
  /** By its names from the root directory on. */
  | { kind: 'tree'; directory: string[] }
  | { kind: 'uid'; id: number }
  | { kind: 'gid'; id: number }

export type QuotaCommand =
  /** What is left out stays as it is; null: no limit. */
  | { command: 'quota'; action: 'set'; target: QuotaTarget; bytes?: number | null; inodes?: number | null }
  | { command: 'quota'; action: 'get' | 'remove'; target: QuotaTarget }
  | { command: 'quota'; action: 'list' | 'check' }

interface Used {
  used: number
  /** Null: none. */
  limit: number | null
}

/** A quota as `cairnfs quota --json` prints it. */
export interface QuotaLine {
  kind: QuotaTarget['kind']
  /** Of a tree: from the volume's root directory on. */
  path?: string
  /** Of a uid or gid. */
  id?: number
  bytes: Used
  inodes: Used
  /** Its use is still being counted, and is shown as far as it is: its limits do not bind yet. */
  counting: boolean
  /** Of a check: what there is; where it differs from `recorded`, the quota is wrong. */
  counted?: { bytes: number; inodes: number }
  recorded?: { bytes: number; inodes: number }
}

/** The command in a decoded line, or null. */
export function asQuotaCommand(value: object): QuotaCommand | null {
  const { action, target, bytes, inodes } = value as Record<string, unknown>
  if (action === 'list' || action === 'check') return { command: 'quota', action }
  const of = asTarget(target)
  if (of === null) return null
  if (action === 'get' || action === 'remove') return { command: 'quota', action, target: of }
  if (action !== 'set' || !isLimit(bytes) || !isLimit(inodes)) return null
  return {
    command: 'quota',
    action,
    target: of,
    ...(bytes === undefined ? {} : { bytes }),
    ...(inodes === undefined ? {} : { inodes }),
  }
}

function isLimit(value: unknown): value is number | null | undefined {
  return value === undefined || value === null || (Number.isSafeInteger(value) && (value as number) >= 0)
}

function asTarget(value: unknown): QuotaTarget | null {
  if (typeof value !== 'object' || value === null) return null
  const { kind, directory, id } = value as Record<string, unknown>
  if (kind === 'volume') return { kind }
  if (kind === 'tree' && Array.isArray(directory) && directory.every((part) => typeof part === 'string'))
    return { kind, directory }
  const isId = Number.isSafeInteger(id) && (id as number) >= 0 && (id as number) <= 0xffff_fffe
  return (kind === 'uid' || kind === 'gid') && isId ? { kind, id: id as number } : null
}
