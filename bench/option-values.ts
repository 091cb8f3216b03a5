// How the bench reads the values of its options.
import { InvalidArgumentError } from 'commander'

export const sorted = (given: number[] | undefined): number[] | null => given?.toSorted((a, b) => a - b) ?? null

/** In the order of `offered`. */
export function choose<T extends { id: string }>(option: string, ids: readonly string[], offered: readonly T[]): T[] {
  for (const id of ids) {
    if (!offered.some((each) => each.id === id)) {
      throw new InvalidArgumentError(`${option}: ${id} is none of ${offered.map((each) => each.id).join(', ')}`)
    }
  }
  return offered.filter(({ id }) => ids.includes(id))
}

export function words(text: string): string[] {
  return text.split(',').filter((word) => word !== '')
}

export function numbers(least: number): (text: string) => number[] {
  return (text) => words(text).map(number(least))
}

export function number(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text.replaceAll('_', ''))
    if (!Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`a number from ${least} on, not ${text}.`)
    return value
  }
}
