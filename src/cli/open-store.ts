// A store from its name and the options, with what stands around it: retries outermost, then counters, then the store.
//
// Must stay true: requests are given up after 10 s while somebody waits at a prompt, after 60 s once it is mounted.
import { accessSync, constants } from 'node:fs'
import { type Logger, Registry, silentLogger } from '../observe/index.ts'
import { systemClock, systemRandom } from '../platform/index.ts'
import {
  type ObjectStore,
  openStore,
  type ProbeFailure,
  parseStoreName,
  probeStore,
  storeRequests,
  withHedge,
  withMetrics,
  withRetry,
} from '../store/index.ts'
import type { RequestCounts } from './control-protocol.ts'
import { CommandError, codeOf } from './errors.ts'
import type { StoreSettings } from './options.ts'

const PROMPT_DEADLINE_MS = 10_000
const MOUNTED_DEADLINE_MS = 60_000

export interface OpenedStore {
  store: ObjectStore
  /** Through which the store is reached: noted in writers/ once it was probed. */
  endpoint: string
  /** Requests sent so far, every try counted. */
  requests(): RequestCounts
  /** Throws CommandError when the store's conditional writes cannot be relied on. */
  probe(): Promise<void>
  /** From now on requests have the time of a mount, and retries are logged. */
  mounted(log: Logger): void
}

/** Opens a store. A folder is created with `createFolder`, a bucket with `createBucket`. `registry`: where its requests are
 *  counted. */
export async function openCountedStore(
  name: string,
  settings: StoreSettings,
  { createFolder = false, createBucket = false, registry = new Registry() } = {},
): Promise<OpenedStore> {
  const isFolder = parseStoreName(name).kind === 'file'
  const { endpoint, region, profile, credentialsFile, pathStyle, unsignedPayload, parallelism } = settings
  if (credentialsFile !== undefined) checkReadable(credentialsFile)
  const bare = await openStore(name, {
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? {} : { region }),
    ...(profile === undefined ? {} : { profile }),
    ...(credentialsFile === undefined ? {} : { credentialsFile }),
    // Unset, the store decides by the endpoint.
    ...(pathStyle ? { pathStyle } : {}),
    ...(unsignedPayload ? { unsignedPayload } : {}),
    parallelism,
    createBucket: isFolder ? createFolder : createBucket,
    clock: systemClock,
  })
  let deadlineMs = PROMPT_DEADLINE_MS
  let log = silentLogger
  const counted = withMetrics(bare, { clock: systemClock, registry })
  const hedges = registry.counter('store.hedges')
  const onHedge = () => {
    hedges.value++
  }
  const store = withRetry(isFolder ? counted : withHedge(counted, { clock: systemClock, onHedge }), {
    clock: systemClock,
    random: systemRandom,
    deadlineMs: () => deadlineMs,
    onRetry: ({ operation, key, tries, error }) =>
      log.info(`${operation} ${key} failed (try ${tries}), trying again`, { error }),
  })
  return {
    store,
    endpoint: isFolder ? 'folder' : (endpoint ?? 'aws'),
    requests: () => storeRequests(registry),
    async probe() {
      const failures = await probeStore(store, systemRandom)
      if (failures.length > 0) throw unsafe(name, failures)
    },
    mounted(logger) {
      deadlineMs = MOUNTED_DEADLINE_MS
      log = logger
    },
  }
}

/** Before anything is asked: without it the keys of somebody else might be found, or none, and nobody would tell why. */
function checkReadable(credentialsFile: string): void {
  try {
    accessSync(credentialsFile, constants.R_OK)
  } catch (error) {
    const code = codeOf(error)
    const line = `--credentials-file ${credentialsFile} cannot be read (${code}): check the path and its permissions`
    throw new CommandError(line, 1, { cause: error })
  }
}

function unsafe(name: string, failures: readonly ProbeFailure[]): CommandError {
  const what = failures.join(', ')
  return new CommandError(
    `${name} does not keep conditional writes apart (${what}), so that two writers could destroy the volume: ` +
      'use another store, or --unsafe-single-writer if only one host ever writes',
  )
}
