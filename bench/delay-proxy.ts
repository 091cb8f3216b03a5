// Adds latency to a store: an HTTP proxy between its clients and MinIO that holds every request, not every packet, for a
// fixed time. The same for all systems; connections cost nothing extra, and no bandwidth is taken away.
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

export class DelayProxy {
  readonly endpoint: string
  readonly #server: Server
  readonly #agent: Agent

  private constructor(server: Server, agent: Agent) {
    this.#server = server
    this.#agent = agent
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  /** Listens on the loopback, and forwards to the HTTP endpoint `target` after `delayMs`. */
  static async start(target: string, delayMs: number): Promise<DelayProxy> {
    const { hostname, port } = new URL(target)
    const agent = new Agent({ keepAlive: true })
    const server = createServer((incoming, outgoing) => {
      setTimeout(() => {
        const forwarded = request(
          {
            hostname,
            port,
            agent,
            method: incoming.method ?? 'GET',
            path: incoming.url ?? '/',
            // As they came: the signature covers them, Host too. Node has answered an Expect itself.
            headers: withoutExpect(incoming.rawHeaders),
          },
          (answer) => {
            outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
            answer.pipe(outgoing)
          },
        )
        forwarded.on('error', () => outgoing.destroy())
        outgoing.on('close', () => forwarded.destroy())
        incoming.pipe(forwarded)
      }, delayMs)
    })
    server.keepAliveTimeout = 0
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new DelayProxy(server, agent)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    this.#agent.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function withoutExpect(rawHeaders: readonly string[]): string[] {
  return rawHeaders.filter((_, index) => rawHeaders[index - (index % 2)]!.toLowerCase() !== 'expect')
}
