// Most operations of a warm filesystem need not wait; a promise per operation would be its largest cost. They return
// MaybePromise: the value itself when it is at hand, a promise only when something is waited for.

export type MaybePromise<T> = T | Promise<T>

export function isPromise<T>(value: MaybePromise<T>): value is Promise<T> {
  return value instanceof Promise
}
