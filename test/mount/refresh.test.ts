// A read-only mount of a state that its writer has cleaned away shows the newest one, through a real kernel and its caches.
import { afterEach, expect, test } from 'vitest'
import { describeStores, Volumes } from './volume-fixture.ts'

const volumes = new Volumes()
afterEach(() => volumes.cleanUp())

describeStores('a read-only mount', (kind) => {
  test('goes on to the newest state when its own is gone, names and data and what the kernel had cached', async () => {
    const writing = await volumes.create(kind, { format: ['--segment-size', '1M'], mount: ['--grace', '0'] })
    await writing.shell(`
      mkdir d; for i in $(seq 6); do head -c 2000000 /dev/zero | tr '\\0' a >f$i; done; echo old >d/name; echo old >small`)
    await writing.unmount()
    const reading = await writing.mountElsewhere(['-o', 'ro'])
    expect(await reading.shell('ls; ls d; cat small d/name; head -c 10 f1; test ! -e new')).toContain('aaaaaaaaaa')

    await writing.mount()
    await writing.shell(`
      for i in $(seq 6); do head -c 2000000 /dev/zero | tr '\\0' b >f$i; done
      mv d/name d/renamed; echo more than before >small; touch new`)
    await writing.unmount()
    await writing.cairnfs(['gc', writing.store.name, ...writing.store.options, '--grace', '0', '--json'])

    await reading.shell('cat f* >/dev/null')
    expect(reading.log()).toContain('has gone on to checkpoint')
    const seen = () => reading.shell('ls; ls d; cat small d/renamed; head -c 10 f1; tail -c 10 f6; test -e new')
    const shown = 'd\nf1\nf2\nf3\nf4\nf5\nf6\nnew\nsmall\nrenamed\nmore than before\nold\nbbbbbbbbbbbbbbbbbbbb'
    // The kernel is told after the answer that met the new state.
    await expect.poll(seen, { timeout: 30_000 }).toBe(shown)
    await reading.unmount()
  })
})
