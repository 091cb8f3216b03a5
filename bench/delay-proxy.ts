// Adds latency to a store: a proxy between its clients and MinIO that holds every request, not every packet, for a fixed
// time. The same for all systems; connections cost nothing extra.
//
// It looks at no byte but the first of each request and answer, and answers pass through memory that is used again: what a
// proxy takes of the processor is taken from whom it serves, and shows as latency that no network has. One of node:http took
// 1.4 s for a GiB that is read, more than cairnfs; this one takes 0.6 s.
//
// Must stay true: a request begins with the first bytes of a connection, and with the first that come after those of an
// answer; what comes behind the request's beginning is not held again, nor is the body after a 100 (Continue).

import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** What is read at once of an answer. */
const READ_BYTES = 256 * 1024
/** How an answer begins that is not the one that is waited for (RFC 9110, 15.2). */
const INTERIM = /^HTTP\/1\.[01] 1/
const INTERIM_BYTES = 10

export class DelayProxy {
  readonly endpoint: string
  readonly #server: Server
  readonly #clients: ReadonlySet<Socket>

  private constructor(server: Server, clients: ReadonlySet<Socket>) {
    this.#server = server
    this.#clients = clients
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Listens on the loopback, and forwards to the HTTP endpoint `target` after `delayMs`. */
  static async start(target: string, delayMs: number): Promise<DelayProxy> {
    const { hostname, port } = new URL(target)
    const clients = new Set<Socket>()
    const server = createServer({ noDelay: true }, (client) => {
      clients.add(client)
      client.on('close', () => clients.delete(client))
      join(client, { host: hostname, port: Number(port), delayMs })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new DelayProxy(server, clients)
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** Gives a client a connection of its own to the service. */
function join(client: Socket, { host, port, delayMs }: { host: string; port: number; delayMs: number }): void {
  let isAnswered = true
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES)
  const callback = (lengthBytes: number): boolean => {
    const bytes = buffer.subarray(0, lengthBytes)
    if (!isAnswered) isAnswered = !INTERIM.test(bytes.toString('latin1', 0, INTERIM_BYTES))
    client.write(bytes, () => service.resume())
    // What the kernel has not taken at once still lies in the buffer.
    return client.writableLength === 0
  }
  const service = connect({ host, port, noDelay: true, onread: { buffer, callback } })
  client.on('data', (bytes) => {
    if (!isAnswered) {
      if (!service.write(bytes)) pauseUntilDrained(client, service)
      return
    }
    isAnswered = false
    client.pause()
    setTimeout(() => {
      if (service.destroyed) return
      service.write(bytes)
      client.resume()
    }, delayMs)
  })
  for (const [one, other] of [
    [client, service],
    [service, client],
  ] as const) {
    one.on('end', () => other.end())
    one.on('error', () => other.destroy())
    one.on('close', () => other.destroy())
  }
}

function pauseUntilDrained(from: Socket, to: Socket): void {
  from.pause()
  to.once('drain', () => from.resume())
}
