// The kinds of requests a store makes, as they are counted, delayed, repeated and made to fail.
//
// Must stay true: they are what S3 itself counts; the three puts are one kind of request.

export type Operation = 'get' | 'put' | 'delete' | 'list' | 'head'

export const OPERATIONS: readonly Operation[] = ['get', 'put', 'delete', 'list', 'head']
