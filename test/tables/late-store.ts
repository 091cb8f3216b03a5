// Stores between a writer and its bucket whose requests arrive late, or whose answers get lost: at moments that the test
// decides.
import { type ObjectStore, StoreError } from '../../src/store/index.ts'

/** A request that is on its way. */
export interface LateCall {
  readonly key: string
  /** It reaches the store, and its answer whoever still waits for it. Tells how the store answered: `done`, or the kind of
   *  its error. */
  arrive(): Promise<string>
  /** Whoever waits for it gets no answer in time; it stays on its way. */
  giveUp(): void
}

export interface Delayed {
  delayed: ObjectStore
  /** Those on their way, in the order in which they were sent. */
  waiting: LateCall[]
  /** Lets all on their way arrive. */
  letGo(): Promise<void>
}

/** A store whose calls of some methods and keys wait until they are let go; the first `letThrough` of them do not. */
export function delaying(store: ObjectStore, methods: string | RegExp, prefix: string, letThrough = 0): Delayed {
  const waiting: LateCall[] = []
  const delayed = intercepted(store, (method, key, call) => {
    if (!isAmong(method, methods) || !key.startsWith(prefix) || letThrough-- > 0) return call()
    return new Promise((resolve, reject) => {
      const late: LateCall = {
        key,
        async arrive() {
          waiting.splice(waiting.indexOf(late), 1)
          try {
            resolve(await call())
            return 'done'
          } catch (error) {
            reject(error)
            return error instanceof StoreError ? error.kind : String(error)
          }
        },
        giveUp: () => reject(new StoreError('retryable', `no answer to ${method} ${key} in time`)),
      }
      waiting.push(late)
    })
  })
  const letGo = async () => {
    for (const late of [...waiting]) await late.arrive()
  }
  return { delayed, waiting, letGo }
}

/** A store that answers one call with an error after its effect. */
export function losingAnswer(
  store: ObjectStore,
  method: string,
  isIt: (key: string, body: string) => boolean,
): ObjectStore {
  let isDone = false
  return intercepted(store, async (called, key, call, args) => {
    const result = await call()
    const body = Array.isArray(args[1]) ? Buffer.concat(args[1] as Buffer[]).toString('latin1') : ''
    if (isDone || called !== method || !isIt(key, body)) return result
    isDone = true
    throw new StoreError('retryable', 'the answer was lost')
  })
}

const SETTLED_MS = 10_000

/** Lets promises settle until a condition holds. */
export async function settled(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + SETTLED_MS
  while (!condition()) {
    if (performance.now() > deadlineMs) throw new Error(`never came about: ${condition}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Lets go whatever comes until `promise` is settled. */
export async function letting<T>({ waiting, letGo }: Delayed, promise: Promise<T>): Promise<T> {
  let isOver = false
  const over = () => {
    isOver = true
  }
  promise.then(over, over)
  while (!isOver) {
    await letGo()
    await settled(() => isOver || waiting.length > 0)
  }
  return promise
}

type Around = (method: string, key: string, call: () => Promise<unknown>, args: unknown[]) => Promise<unknown>

export function intercepted(store: ObjectStore, around: Around): ObjectStore {
  return new Proxy(store, {
    get(target, property) {
      const member = Reflect.get(target, property) as unknown
      if (typeof member !== 'function') return member
      return (...args: unknown[]) =>
        around(String(property), String(args[0]), async () => member.apply(target, args) as unknown, args)
    },
  })
}

function isAmong(method: string, methods: string | RegExp): boolean {
  return typeof methods === 'string' ? method === methods : methods.test(method)
}
