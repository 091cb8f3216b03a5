// Counters, gauges and histograms.
import { expect, test } from 'vitest'
import { observe, quantile, Registry } from '../../src/observe/index.ts'

test('a name stands for one thing', () => {
  const registry = new Registry()
  registry.counter('a').value += 2
  registry.counter('a').value++
  registry.gauge('a').value = 7
  expect(registry.snapshot()).toEqual({ counters: { a: 3 }, gauges: { a: 7 }, histograms: {} })
})

test('a histogram counts values by upper bound', () => {
  const histogram = new Registry().histogram('h', [1, 10])
  for (const value of [0, 1, 1.5, 10, 11, 1000]) observe(histogram, value)
  expect(histogram.counts).toEqual([2, 2, 2])
  expect(histogram.sum).toBe(1023.5)
  expect(histogram.count).toBe(6)
})

test('quantiles are bounds below which values lie', () => {
  const histogram = new Registry().histogram('h', [1, 10, 100])
  expect(quantile(histogram, 0.5)).toBe(0)
  for (const value of [0.5, 0.5, 5, 50]) observe(histogram, value)
  expect(quantile(histogram, 0.5)).toBe(1)
  expect(quantile(histogram, 0.75)).toBe(10)
  expect(quantile(histogram, 1)).toBe(100)
  observe(histogram, 1e6)
  expect(quantile(histogram, 1)).toBe(Number.POSITIVE_INFINITY)
})

test('a snapshot is plain data that later counting does not change', () => {
  const registry = new Registry()
  const histogram = registry.histogram('h', [1])
  observe(histogram, 1)
  const snapshot = registry.snapshot()
  observe(histogram, 1)
  expect(JSON.parse(JSON.stringify(snapshot))).toEqual(snapshot)
  expect(snapshot.histograms.h!.count).toBe(1)
})
