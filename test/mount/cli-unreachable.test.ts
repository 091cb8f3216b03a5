// A mount whose store goes away: umount stays mounted and says why, --force and a second SIGTERM end it, and what was
// committed is there once the store answers again. The store is MinIO behind a door that can be shut.
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { findMount } from '../../src/fuse/index.ts'
import { type BuiltProgram, buildProgram, isRunning, processesWith, untilEnded } from '../cli/built-program.ts'
import { createTestBucket, minio, type TestBucket } from '../s3/minio.ts'
import { MountHarness, until } from './harness.ts'

/** Passes connections on to MinIO while it is open; shut, it cuts them off and refuses new ones. */
class Door {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #isOpen = true

  constructor(host: string, port: number) {
    this.#server = createServer((client) => {
      if (!this.#isOpen) {
        client.destroy()
        return
      }
      const service = connect(port, host)
      for (const [socket, other] of [
        [client, service],
        [service, client],
      ] as const) {
        this.#sockets.add(socket)
        socket.on('error', () => other.destroy()).on('close', () => this.#sockets.delete(socket))
        socket.pipe(other)
      }
    })
  }

  listen(): Promise<string> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => {
        const address = this.#server.address()
        if (address !== null && typeof address === 'object') resolve(`http://127.0.0.1:${address.port}`)
      })
    })
  }

  shut(): void {
    this.#isOpen = false
    for (const socket of this.#sockets) socket.destroy()
  }

  open(): void {
    this.#isOpen = true
  }

  close(): void {
    this.shut()
    this.#server.close()
  }
}

describe.skipIf(minio === undefined)('a store that goes away (needs MinIO)', () => {
  const harness = new MountHarness()
  let program: BuiltProgram
  let bucket: TestBucket
  let door: Door
  let options: string
  let store: string
  let mountpoint: string
  let volumes = 0

  beforeAll(async () => {
    program = buildProgram()
    bucket = await createTestBucket(minio!)
    const { hostname, port } = new URL(minio!.endpoint)
    door = new Door(hostname, Number(port))
    options = `--endpoint ${await door.listen()}`
  })
  afterEach(async () => {
    door.open()
    for (const pid of processesWith(store)) process.kill(pid, 'SIGKILL')
    await harness.cleanUp()
  })
  afterAll(async () => {
    door.close()
    await bucket.remove()
    program.remove()
  })

  /** A mounted volume with one committed file and one that is dirty, and its door shut. */
  async function cutOff(): Promise<number> {
    store = `${bucket.name}/volume-${++volumes}`
    mountpoint = harness.mountpoint()
    await harness.shell(`${program.cairnfs} format ${store} ${options}`)
    await harness.shell(`${program.cairnfs} mount ${store} ${mountpoint} ${options} --commit 600`)
    await harness.shell('echo kept > kept && sync kept', { cwd: mountpoint })
    const { pid } = JSON.parse(await harness.shell(`${program.cairnfs} status --json ${mountpoint}`))
    door.shut()
    await harness.shell('seq 100000 > dirty', { cwd: mountpoint })
    return pid
  }

  it('stays mounted when umount cannot write: what it has can be read, until it is forced', async () => {
    await cutOff()
    const failed = await harness.run(`${program.cairnfs} umount ${mountpoint}`, { timeoutMs: 200_000 })
    expect(failed).toMatchObject({ status: 1, timedOut: false })
    expect(failed.stderr).toMatch(/^cairnfs umount: \S+ stays mounted, .* not stored: .*--force\n$/)
    expect(findMount(mountpoint)).toBeDefined()
    expect(await harness.shell('wc -l < dirty', { cwd: mountpoint })).toBe('100000\n')
    const status = JSON.parse(await harness.shell(`${program.cairnfs} status --json ${mountpoint}`))
    expect(status.failure).toContain('journal')
    await harness.shell(`${program.cairnfs} umount --force ${mountpoint}`)
    door.open()
    await harness.shell(`${program.cairnfs} mount ${store} ${mountpoint} ${options}`)
    expect(await harness.shell('cat kept', { cwd: mountpoint })).toBe('kept\n')
    await harness.shell(`${program.cairnfs} umount ${mountpoint}`)
  })

  it('ends by force at once, saying how much is lost, and keeps what was committed', async () => {
    const pid = await cutOff()
    const forced = await harness.run(`${program.cairnfs} umount --force ${mountpoint}`, { timeoutMs: 30_000 })
    expect(forced.status).toBe(0)
    expect(Number(/\((\d+) bytes\)/.exec(forced.stderr)?.[1])).toBeGreaterThan(500_000)
    expect(isRunning(pid)).toBe(false)
    door.open()
    await harness.shell(`${program.cairnfs} mount ${store} ${mountpoint} ${options}`)
    expect(await harness.shell('cat kept; test ! -s dirty', { cwd: mountpoint })).toBe('kept\n')
    await harness.shell(`${program.cairnfs} umount ${mountpoint}`)
  })

  it('ends on a second SIGTERM after 5 s, leaving the journal to the next mount', async () => {
    const pid = await cutOff()
    process.kill(pid, 'SIGTERM')
    const firstMs = performance.now()
    await until(() => performance.now() - firstMs > 5_100, '5 s to pass')
    expect(isRunning(pid)).toBe(true)
    process.kill(pid, 'SIGTERM')
    await untilEnded(pid)
    expect(performance.now() - firstMs).toBeLessThan(10_000)
    expect(findMount(mountpoint)).toBeUndefined()
    door.open()
    const mounted = await harness.run(`${program.cairnfs} mount ${store} ${mountpoint} ${options}`)
    expect(mounted.status).toBe(0)
    expect(mounted.durationMs).toBeLessThan(20_000)
    expect(await harness.shell('cat kept', { cwd: mountpoint })).toBe('kept\n')
    await harness.shell(`${program.cairnfs} umount ${mountpoint}`)
  })
})
