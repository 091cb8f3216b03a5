// How a system reaches MinIO: directly, or through a proxy that adds latency and stays for the rest of the run.
import { DelayProxy } from './delay-proxy.ts'
import type { Minio } from './minio.ts'
import type { Workspace } from './workspace.ts'

export class Endpoints {
  readonly #minio: Minio
  readonly #workspace: Workspace
  readonly #proxies = new Map<number, string>()

  constructor({ minio, workspace }: { minio: Minio; workspace: Workspace }) {
    this.#minio = minio
    this.#workspace = workspace
  }

  /** The URL behind which each request takes so much longer. */
  async of(latencyMs: number): Promise<string> {
    if (latencyMs === 0) return this.#minio.endpoint
    const known = this.#proxies.get(latencyMs)
    if (known !== undefined) return known
    const proxy = await DelayProxy.start(this.#minio.endpoint, latencyMs)
    this.#workspace.onCleanUp('the proxy', () => proxy.close())
    this.#proxies.set(latencyMs, proxy.endpoint)
    return proxy.endpoint
  }
}
