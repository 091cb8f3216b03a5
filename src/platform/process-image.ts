// What a daemon does to its own process and Node has no call for: execve(2) (the same process, begun again with another
// environment) and dup2(2) (where its output goes).
//
// Must stay true: replaceProcess never returns. Nothing that matters may still be in flight when it is called; Node's
// own descriptors are closed by the kernel (close-on-exec; Node marks even the standard ones so), standard input, output
// and error stay.
import { createRequire } from 'node:module'
import { FsError } from './errors.ts'

const F_SETFD = 2

function koffi(): typeof import('koffi') {
  return createRequire(import.meta.url)('koffi') as typeof import('koffi')
}

function libcFunction<F>(name: string, result: string, args: string[]): F {
  return koffi().load('libc.so.6').func(name, result, args) as unknown as F
}

/** Begins this process again as `file` with these arguments and environment: same pid, same parent, same terminal, so
 *  that signals reach it. */
export function replaceProcess(file: string, args: readonly string[], environment: Record<string, string>): never {
  type Strings = (string | null)[]
  type Execve = (file: string, args: Strings, environment: Strings) => number
  const execve = libcFunction<Execve>('execve', 'int', ['str', 'const char **', 'const char **'])
  const fcntl = libcFunction<(fd: number, command: number, flags: number) => number>('fcntl', 'int', [
    'int',
    'int',
    'int',
  ])
  for (const fd of [0, 1, 2]) fcntl(fd, F_SETFD, 0)
  const pairs = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  execve(file, [file, ...args, null], [...pairs, null])
  throw new FsError('EIO', `cannot begin ${file} again (errno ${koffi().errno()}): set UV_THREADPOOL_SIZE=16 yourself`)
}

/** Lets standard output and error go where `fd` goes. */
export function redirectOutput(fd: number): void {
  const dup2 = libcFunction<(from: number, to: number) => number>('dup2', 'int', ['int', 'int'])
  for (const to of [1, 2]) {
    if (dup2(fd, to) < 0) throw new FsError('EIO', `cannot redirect descriptor ${to} (errno ${koffi().errno()})`)
  }
}
