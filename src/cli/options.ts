// The options of `format` and `mount`: one table, from which the command line (`--long-name VALUE`), the words of -o
// (`long_name=VALUE`) and the help are made.
//
// Must stay true: every long option is also a word of -o; where both are given the long one counts, and of two words the
// later. An unknown word is refused by its name alone: its value might be a secret.
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import type { Binding } from '../fuse/index.ts'
import type { LogLevel } from '../observe/index.ts'
import { UsageError } from './errors.ts'
import { type OptionWord, parseOptionString } from './option-strings.ts'
import { ofOption, parseCount, parseDuration, parseSize } from './units.ts'

export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent']
const BINDINGS: readonly Binding[] = ['kernel', 'fuse-native']

/** A few segments: below, each would push out the last. */
const CACHE_BYTES_MIN = 64 * 1024 ** 2

interface OptionSpec {
  name: string
  /** Name of the value in the help; none: a flag. */
  value?: string
  help: string
  /** As text, as the user would write it. */
  default?: string
}

const STORE_OPTIONS: readonly OptionSpec[] = [
  { name: 'endpoint', value: 'URL', help: 'an S3-compatible service, e.g. http://127.0.0.1:9000 (default: AWS)' },
  { name: 'region', value: 'NAME', help: "the bucket's region (default: as the AWS chain says)" },
  { name: 'path-style', help: 'address http://host/bucket instead of http://bucket.host (MinIO by name needs it)' },
  { name: 'profile', value: 'NAME', help: 'profile in the AWS credentials and config files' },
  { name: 'credentials-file', value: 'FILE', help: 'AWS credentials file to use; fstab has no environment' },
  { name: 'unsigned-payload', help: 'do not sign bodies over http (over https, and on this machine, they never are)' },
  { name: 'parallelism', value: 'N', help: 'segments sent and fetched at a time', default: '20' },
  {
    name: 'unsafe-single-writer',
    help: 'accept a store without conditional writes; you see to it that one host writes',
  },
]

const FORMAT_OPTIONS: readonly OptionSpec[] = [
  { name: 'name', value: 'NAME', help: 'name of the volume (default: the last part of STORE)' },
  { name: 'segment-size', value: 'SIZE', help: 'largest object that data is packed into', default: '8M' },
  { name: 'force', help: 'delete the volume that is there, and everything in it, first' },
  { name: 'create-bucket', help: 'make the bucket when there is none' },
  { name: 'casefold', help: 'names ignore case, in every directory (cairnfs casefold does it for one)' },
  ...STORE_OPTIONS,
]

const LEASE_OPTION: OptionSpec = {
  name: 'lease',
  value: 'SECONDS',
  help: 'a writer that shows no sign of life for this long is dead',
  default: '30',
}
const GRACE_OPTION: OptionSpec = {
  name: 'grace',
  value: 'TIME',
  help: 'keep objects for this long after nothing uses them, for read-only mounts of older states',
  default: '1h',
}

const GC_OPTIONS: readonly OptionSpec[] = [GRACE_OPTION, LEASE_OPTION, ...STORE_OPTIONS]

const FSCK_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'memory',
    value: 'SIZE',
    help: 'for caches, at least 64M; what must be remembered of the volume comes on top',
    default: '512M',
  },
  LEASE_OPTION,
  ...STORE_OPTIONS,
]

const MOUNT_OPTIONS: readonly OptionSpec[] = [
  {
    name: 'commit',
    value: 'SECONDS',
    help: 'what is older than this is durable, without any fsync; at least 0.1',
    default: '5',
  },
  { name: 'memory', value: 'SIZE', help: 'for dirty data, caches and metadata together; at least 64M', default: '1G' },
  {
    name: 'max-readahead',
    value: 'SIZE',
    help: 'most that is fetched ahead of one who reads a file in order; 0: nothing',
    default: '64M',
  },
  {
    name: 'cache-dir',
    value: 'DIR',
    help: 'keep what is read and written in this folder too, for later mounts; several volumes may share it (default: none)',
  },
  {
    name: 'cache-size',
    value: 'SIZE',
    help: 'most of this volume that --cache-dir keeps, at least 64M (default: 10G, less where a tenth of the disk would not stay free)',
  },
  { name: 'max-uploads', value: 'N', help: 'segments sent at a time (default: as --parallelism)' },
  LEASE_OPTION,
  GRACE_OPTION,
  { name: 'take-over', help: 'take the volume from a mount that lives elsewhere; what that has not stored is lost' },
  { name: 'log-level', value: 'LEVEL', help: `one of ${LOG_LEVELS.join(', ')}`, default: 'info' },
  { name: 'read-only', help: 'mount the state as it is now; writes nothing (also -o ro)' },
  {
    name: 'writeback',
    help: 'let the kernel keep what is written until a file is closed or synced: small writes are faster, and promised is less',
  },
  {
    name: 'binding',
    value: 'NAME',
    help: `what speaks with the kernel: ${BINDINGS.join(' or ')} (a package of its own; its limits stand in the README)`,
    default: 'kernel',
  },
  { name: 'allow-other', help: 'let other users in (root: always; others need user_allow_other in /etc/fuse.conf)' },
  {
    name: 'acl',
    help: 'let POSIX ACLs be set; where the volume has any they are on without it. Listings then cost a request for each file',
  },
  ...STORE_OPTIONS,
]

const SPECS = { format: FORMAT_OPTIONS, mount: MOUNT_OPTIONS, gc: GC_OPTIONS, fsck: FSCK_OPTIONS }
/** Those that take options from here. */
type CommandName = keyof typeof SPECS

/** How to reach a store: what `openStore` of store/ wants to know. */
export interface StoreSettings {
  endpoint?: string
  region?: string
  pathStyle: boolean
  profile?: string
  credentialsFile?: string
  unsignedPayload: boolean
  parallelism: number
  unsafeSingleWriter: boolean
}

export interface FormatSettings {
  name?: string
  segmentSizeBytes: number
  force: boolean
  createBucket: boolean
  casefold: boolean
  store: StoreSettings
}

/** What the kernel itself is to observe, from mount(8)'s words. */
export interface KernelFlags {
  readOnly: boolean
  nosuid: boolean
  nodev: boolean
  noexec: boolean
  noatime: boolean
  sync: boolean
  dirsync: boolean
}

export interface GcSettings {
  graceMs: number
  leaseMs: number
  store: StoreSettings
}

export interface FsckSettings {
  memoryBytes: number
  leaseMs: number
  store: StoreSettings
}

export interface MountSettings {
  commitMs: number
  graceMs: number
  memoryBytes: number
  maxReadAheadBytes: number
  /** The disk cache; null: none. `sizeBytes` null: as much as there is room for, up to a limit. */
  cache: { dir: string; sizeBytes: number | null } | null
  /** Segments sent at a time. */
  uploads: number
  leaseMs: number
  takeOver: boolean
  logLevel: LogLevel
  /** The kernel acknowledges writes before we see them (WRITEBACK_CACHE). */
  writeback: boolean
  binding: Binding
  allowOther: boolean
  acl: boolean
  kernel: KernelFlags
  store: StoreSettings
}

/** Of each option the text given, true for flags, or its default. */
type Values = ReadonlyMap<string, string | true>

/** Words of mount(8) and fstab(5) and what they say to the kernel; the empty ones say nothing to us. Reading times are
 *  never kept (DESIGN section 3), so all the atime words are one. */
const KERNEL_WORDS: Record<string, Partial<KernelFlags>> = {
  ro: { readOnly: true },
  rw: { readOnly: false },
  nosuid: { nosuid: true },
  suid: { nosuid: false },
  nodev: { nodev: true },
  dev: { nodev: false },
  noexec: { noexec: true },
  exec: { noexec: false },
  sync: { sync: true },
  async: { sync: false },
  dirsync: { dirsync: true },
  noatime: { noatime: true },
  atime: { noatime: false },
  relatime: {},
  norelatime: {},
  strictatime: {},
  nostrictatime: {},
  nodiratime: {},
  diratime: {},
  lazytime: {},
  nolazytime: {},
  defaults: {},
}
/** Words that mount(8), systemd or libfuse act on, not we. `user` and `users` imply what fstab(5) says. */
const RESTRICTED = { nosuid: true, nodev: true, noexec: true }
const IGNORED_WORDS: Record<string, Partial<KernelFlags>> = {
  user: RESTRICTED,
  users: RESTRICTED,
  owner: { nosuid: true, nodev: true },
  group: { nosuid: true, nodev: true },
  nouser: {},
  nousers: {},
  noowner: {},
  nogroup: {},
  auto: {},
  noauto: {},
  nofail: {},
  '-netdev': {},
  comment: {},
  'default-permissions': {},
}

/** Adds the options to a command, -o among them. */
export function addOptions(command: Command, of: CommandName): void {
  for (const spec of SPECS[of]) {
    const flags = spec.value === undefined ? `--${spec.name}` : `--${spec.name} <${spec.value}>`
    command.addOption(
      new Option(flags, spec.default === undefined ? spec.help : `${spec.help} (default: ${spec.default})`),
    )
  }
  const words = of === 'mount' ? 'ro, nosuid, ... as mount(8), and every' : 'every'
  command.addOption(
    new Option(
      '-o <options>',
      `comma-separated: ${words} long option, as long_name=VALUE or long-name=VALUE`,
    ).argParser((text: string, before: string[] | undefined) => [...(before ?? []), text]),
  )
}

export function readFormatSettings(options: Record<string, unknown>): FormatSettings {
  const { values } = gather('format', options)
  const name = textOf(values, 'name')
  return {
    ...(name === undefined ? {} : { name }),
    segmentSizeBytes: parsed(values, 'segment-size', parseSize),
    force: values.has('force'),
    createBucket: values.has('create-bucket'),
    casefold: values.has('casefold'),
    store: readStoreSettings(values),
  }
}

export function readGcSettings(options: Record<string, unknown>): GcSettings {
  const { values } = gather('gc', options)
  return {
    graceMs: parsed(values, 'grace', parseDuration),
    leaseMs: atLeast(values, 'lease', 1000),
    store: readStoreSettings(values),
  }
}

export function readFsckSettings(options: Record<string, unknown>): FsckSettings {
  const { values } = gather('fsck', options)
  return {
    memoryBytes: atLeastMemory(values),
    leaseMs: atLeast(values, 'lease', 1000),
    store: readStoreSettings(values),
  }
}

/** `isSloppy`: unknown words of -o are left out instead of refused (mount -s). */
export function readMountSettings(
  options: Record<string, unknown>,
  { isRoot, isSloppy = false }: { isRoot: boolean; isSloppy?: boolean },
): MountSettings {
  const { values, kernel } = gather('mount', options, { isSloppy })
  const logLevel = textOf(values, 'log-level') as LogLevel
  if (!LOG_LEVELS.includes(logLevel)) {
    throw new UsageError(`--log-level: '${logLevel}' is none of ${LOG_LEVELS.join(', ')}`)
  }
  const memoryBytes = atLeastMemory(values)
  const store = readStoreSettings(values)
  return {
    commitMs: atLeast(values, 'commit', 100),
    graceMs: parsed(values, 'grace', parseDuration),
    memoryBytes,
    maxReadAheadBytes: parsed(values, 'max-readahead', parseSize),
    cache: readCacheSettings(values),
    uploads: values.has('max-uploads') ? parsed(values, 'max-uploads', parseSome) : store.parallelism,
    leaseMs: atLeast(values, 'lease', 1000),
    takeOver: values.has('take-over'),
    logLevel,
    writeback: values.has('writeback'),
    ...readBinding(values, isRoot),
    acl: values.has('acl'),
    kernel: {
      // fusermount3 adds nosuid and nodev for users whatever is asked; root gets what ext4 would give.
      nosuid: !isRoot,
      nodev: !isRoot,
      noexec: false,
      noatime: false,
      sync: false,
      dirsync: false,
      ...kernel,
      readOnly: values.has('read-only') || kernel.readOnly === true,
    },
    store,
  }
}

function readBinding(values: Values, isRoot: boolean): Pick<MountSettings, 'binding' | 'allowOther'> {
  const binding = textOf(values, 'binding') as Binding
  if (!BINDINGS.includes(binding)) throw new UsageError(`--binding: '${binding}' is none of ${BINDINGS.join(', ')}`)
  if (binding === 'kernel') return { binding, allowOther: isRoot || values.has('allow-other') }
  for (const name of ['writeback', 'acl']) {
    if (values.has(name)) throw new UsageError(`--${name}: fuse-native does not have it: mount with one of the two`)
  }
  if (!values.has('allow-other')) return { binding, allowOther: false }
  throw new UsageError(
    '--allow-other: fuse-native does not say who asks, so that only who mounts is let in: mount with one of the two',
  )
}

function readCacheSettings(values: Values): MountSettings['cache'] {
  const dir = textOf(values, 'cache-dir')
  const sizeBytes = values.has('cache-size') ? parsed(values, 'cache-size', parseSize) : null
  if (dir === undefined) {
    if (sizeBytes === null) return null
    throw new UsageError('--cache-size: say where the cache is to lie, with --cache-dir')
  }
  if (dir === '') throw new UsageError('--cache-dir: give a folder')
  if (sizeBytes !== null && sizeBytes < CACHE_BYTES_MIN) throw new UsageError('--cache-size: at least 64M are needed')
  // The daemon changes its directory.
  return { dir: resolve(dir), sizeBytes }
}

function readStoreSettings(values: Values): StoreSettings {
  const endpoint = textOf(values, 'endpoint')
  const region = textOf(values, 'region')
  const profile = textOf(values, 'profile')
  const credentialsFile = textOf(values, 'credentials-file')
  if (endpoint !== undefined) checkEndpoint(endpoint)
  return {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(profile === undefined ? {} : { profile }),
    // The daemon changes its directory.
    ...(credentialsFile === undefined ? {} : { credentialsFile: resolve(credentialsFile) }),
    pathStyle: values.has('path-style'),
    unsignedPayload: values.has('unsigned-payload'),
    unsafeSingleWriter: values.has('unsafe-single-writer'),
    parallelism: parsed(values, 'parallelism', parseSome),
  }
}

function checkEndpoint(endpoint: string): void {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new UsageError('--endpoint: give a URL such as http://127.0.0.1:9000')
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError('--endpoint: keys do not belong into the URL: use --credentials-file, --profile or AWS_*')
  }
}

function gather(
  command: CommandName,
  options: Record<string, unknown>,
  { isSloppy = false } = {},
): { values: Values; kernel: Partial<KernelFlags> } {
  const specs = SPECS[command]
  const values = new Map<string, string | true>()
  const kernel: Partial<KernelFlags> = {}
  for (const spec of specs) if (spec.default !== undefined) values.set(spec.name, spec.default)
  for (const word of ((options.o as string[] | undefined) ?? []).flatMap(parseOptionString)) {
    const spec = specs.find(({ name }) => name === word.name)
    if (spec !== undefined) values.set(spec.name, valueOfWord(spec, word))
    else if (command === 'mount' && takeKernelWord(word, kernel)) continue
    else if (!isSloppy) throw unknownWord(word, command)
  }
  for (const spec of specs) {
    const given = options[camelCase(spec.name)]
    if (typeof given === 'string' || given === true) values.set(spec.name, given)
  }
  return { values, kernel }
}

function valueOfWord(spec: OptionSpec, word: OptionWord): string | true {
  if (spec.value === undefined) {
    if (word.value === null) return true
    throw new UsageError(`-o ${underscored(spec.name)} takes no value`)
  }
  if (word.value === null || word.value === '') {
    throw new UsageError(`-o ${underscored(spec.name)} needs a value: ${underscored(spec.name)}=${spec.value}`)
  }
  return word.value
}

/** Whether it is a word of mount(8); takes what it means. */
function takeKernelWord({ name, value }: OptionWord, kernel: Partial<KernelFlags>): boolean {
  if (name.toLowerCase().startsWith('x-')) return true
  const words = value === null ? { ...KERNEL_WORDS, ...IGNORED_WORDS } : IGNORED_WORDS
  if (!Object.hasOwn(words, name)) return false
  Object.assign(kernel, words[name])
  return true
}

/** Whether -o asks to change a mount that is there. */
export function isRemount(texts: readonly string[]): boolean {
  return texts.flatMap(parseOptionString).some(({ name }) => name === 'remount')
}

/** What the words of mount(8) among these say; the last of those that contradict each other. */
export function readKernelWords(texts: readonly string[]): Partial<KernelFlags> {
  const kernel: Partial<KernelFlags> = {}
  for (const word of texts.flatMap(parseOptionString)) takeKernelWord(word, kernel)
  return kernel
}

function unknownWord({ name }: OptionWord, command: CommandName): UsageError {
  if (name === 'remount') return new UsageError('-o remount: use mount(8), with cairnfs install-helper')
  // With a value: without one it would have been taken.
  if (command === 'mount' && Object.hasOwn(KERNEL_WORDS, name)) return new UsageError(`-o ${name} takes no value`)
  return new UsageError(`-o: unknown option '${underscored(name)}': see cairnfs ${command} --help`)
}

function textOf(values: Values, name: string): string | undefined {
  const value = values.get(name)
  return value === true ? undefined : value
}

/** The value of an option that has a default, parsed; errors name the option. */
function parsed<T>(values: Values, name: string, parse: (text: string) => T): T {
  return ofOption(name, parse)(textOf(values, name) ?? '')
}

function atLeast(values: Values, name: string, leastMs: number): number {
  const ms = parsed(values, name, parseDuration)
  if (ms < leastMs) throw new UsageError(`--${name}: at least ${leastMs / 1000} s`)
  return ms
}

function atLeastMemory(values: Values): number {
  const memoryBytes = parsed(values, 'memory', parseSize)
  if (memoryBytes < 64 * 1024 ** 2) throw new UsageError('--memory: at least 64M are needed')
  return memoryBytes
}

function parseSome(text: string): number {
  return parseCount(text, 1)
}

function underscored(name: string): string {
  return name.replaceAll('-', '_')
}

function camelCase(name: string): string {
  return name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())
}
