// segments/: packing pieces into immutable objects and reading them back, with a cache of what was read. Promises
// upward: locations at once, durability when `upload` resolves, verified bytes. Asks downward: an ObjectStore.
export * from './segment-store.ts'
