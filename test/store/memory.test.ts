// The memory store, alone and under the decorators that must not change what it promises.
import { Registry } from '../../src/observe/index.ts'
import { seededRandom, systemClock } from '../../src/platform/index.ts'
import { createMemoryStore, withFaults, withLatency, withMetrics, withRetry } from '../../src/store/index.ts'
import { objectStoreConformance } from './conformance.ts'

objectStoreConformance('memory', { open: async () => createMemoryStore() })

objectStoreConformance('memory under retry, metrics, latency and faults', {
  open: async () => {
    const slow = withLatency(withFaults(createMemoryStore()), { clock: systemClock, latencyMs: 0.1 })
    const metered = withMetrics(slow, { clock: systemClock, registry: new Registry() })
    return withRetry(metered, { clock: systemClock, random: seededRandom(1) })
  },
})
