// The parts of the bench that touch the machine: its processes, and the proxy that adds latency.
import { existsSync, readFileSync } from 'node:fs'
import { Agent, createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { DelayProxy } from '../../bench/delay-proxy.ts'
import { cpuSec, isRunning, peakRssBytes } from '../../bench/processes.ts'
import { until } from '../../bench/waiting.ts'
import { Workspace } from '../../bench/workspace.ts'

const cleanUps: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

function newWorkspace(): Workspace {
  const workspace = new Workspace()
  cleanUps.push(() => workspace.cleanUp())
  return workspace
}

const bash = (script: string) => ({ program: 'bash', args: ['-c', script] })

describe('a workspace', () => {
  test('ends all that it started, and what those left behind, and removes its folder', async () => {
    const workspace = newWorkspace()
    const pidFile = join(workspace.folder, 'pid')
    const log = join(workspace.folder, 'log')
    // A daemon that leaves its parent, and one that hides the mark in its environment.
    workspace.start(bash(`setsid sleep 1000 & echo $! > ${pidFile}.partial; mv ${pidFile}.partial ${pidFile}`), {
      part: 'a',
      log,
    })
    const hidden = workspace.start({ program: 'env', args: ['-i', 'sleep', '1000'] }, { part: 'b', log })
    await until(10_000, 'the daemon', () => existsSync(pidFile))
    const left = Number(readFileSync(pidFile, 'utf8'))
    expect(workspace.processesOf('a')).toContain(left)
    expect(newWorkspace().processesOf('a')).toEqual([])
    expect(workspace.processesOf('b')).toEqual([hidden.pid])
    expect(await workspace.cleanUp()).toEqual([])
    expect([left, hidden.pid!].filter(isRunning)).toEqual([])
    expect(existsSync(workspace.folder)).toBe(false)
  })

  test('takes away the last first, goes on when something cannot be, and tells', async () => {
    const workspace = newWorkspace()
    const done: string[] = []
    workspace.onCleanUp('a', () => void done.push('a'))
    workspace.onCleanUp('b', () => Promise.reject(new Error('it broke')))
    const settled = workspace.onCleanUp('c', () => void done.push('c'))
    workspace.onCleanUp('d', () => void done.push('d'))
    settled()
    expect(await workspace.cleanUp()).toEqual(['b: it broke'])
    expect(done).toEqual(['d', 'a'])
  })

  test('ends a program that outlives its limit, with its children', async () => {
    const workspace = newWorkspace()
    const result = await workspace.run(bash('sleep 1000 | sleep 1000'), { limitMs: 50 })
    expect(result).toMatchObject({ status: null, isOverLimit: true })
  })

  test('tells what a program complained of', async () => {
    const workspace = newWorkspace()
    await expect(workspace.expect(bash('echo no good >&2; exit 3'), { limitMs: 10_000 })).rejects.toThrow(
      /ended with status 3: no good/,
    )
    expect(await workspace.expect(bash('echo fine'), { limitMs: 10_000 })).toBe('fine\n')
  })

  test('once interrupted, ends what runs and starts nothing, but cleans up', async () => {
    const workspace = newWorkspace()
    workspace.onCleanUp('a', async () => {
      await workspace.expect(bash('exit 0'), { limitMs: 10_000 })
    })
    const running = workspace.run(bash('sleep 1000'), { limitMs: 60_000 })
    workspace.interrupt()
    await expect(running).rejects.toThrow('interrupted')
    await expect(workspace.run(bash('exit 0'), { limitMs: 10_000 })).rejects.toThrow('interrupted')
    expect(await workspace.cleanUp()).toEqual([])
  })

  test('a program that cannot be started has ended', async () => {
    const workspace = newWorkspace()
    const log = join(workspace.folder, 'log')
    const child = workspace.start({ program: '/nonexistent/daemon', args: [] }, { part: 'a', log })
    await until(10_000, 'its end', () => child.exitCode !== null)
    expect(readFileSync(log, 'utf8')).toContain('ENOENT')
    expect(workspace.processesOf('a')).toEqual([])
  })
})

test('CPU time and memory of a process are read, and are 0 for one that is gone', () => {
  const end = performance.now() + 60
  while (performance.now() < end);
  expect(cpuSec(process.pid)).toBeGreaterThan(0.05)
  expect(peakRssBytes(process.pid)).toBeGreaterThan(2 ** 20)
  expect(cpuSec(2 ** 22 + 1)).toBe(0)
  expect(peakRssBytes(2 ** 22 + 1)).toBe(0)
})

test('the proxy holds a request, and changes nothing of it or of its answer', async () => {
  const seen: { method: string; url: string; host: string; body: string }[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (text: string) => {
      body += text
    })
    request.on('end', () => {
      seen.push({ method: request.method!, url: request.url!, host: request.headers.host!, body })
      response.writeHead(201, { 'x-answer': 'yes' }).end('answer')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUps.push(() => new Promise((resolve) => server.close(resolve)))
  const proxy = await DelayProxy.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 80)
  cleanUps.push(() => proxy.close())
  const started = performance.now()
  const answer = await fetch(`${proxy.endpoint}/bucket/a%20b?list-type=2`, { method: 'PUT', body: 'body' })
  expect(await answer.text()).toBe('answer')
  // Timers may fire a millisecond early.
  expect(performance.now() - started).toBeGreaterThanOrEqual(79)
  expect([answer.status, answer.headers.get('x-answer')]).toEqual([201, 'yes'])
  const host = new URL(proxy.endpoint).host
  expect(seen).toEqual([{ method: 'PUT', url: '/bucket/a%20b?list-type=2', host, body: 'body' }])
})

test('the proxy holds each request of a connection once, and passes long bodies both ways', async () => {
  const body = Buffer.from(Array.from({ length: 3_000_001 }, (_, index) => index % 251))
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => response.end(Buffer.concat(parts)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanUps.push(() => new Promise((resolve) => server.close(resolve)))
  const proxy = await DelayProxy.start(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 40)
  cleanUps.push(() => proxy.close())
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  cleanUps.push(async () => agent.destroy())
  const ports = new Set<number>()
  const exchange = () =>
    new Promise<Buffer>((resolve, reject) => {
      // As curl does: the body only after the service has said that it takes it.
      const headers = { expect: '100-continue', 'content-length': body.length }
      const sent = httpRequest(proxy.endpoint, { agent, method: 'PUT', headers }, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part)).on('end', () => resolve(Buffer.concat(parts)))
      })
      sent.on('continue', () => sent.end(body)).on('error', reject)
      sent.on('socket', (socket) => socket.once('ready', () => ports.add(socket.localPort!)))
      sent.flushHeaders()
    })
  for (const times of [1, 2, 3]) {
    const started = performance.now()
    expect((await exchange()).equals(body), `exchange ${times}`).toBe(true)
    expect(performance.now() - started).toBeGreaterThanOrEqual(39)
  }
  expect(ports.size).toBe(1)
})
