// How many worlds tests try that draw them from seeds: briefly, or at length with `scripts/test --full`.
// CAIRNFS_TEST_SEEDS overrules both; `scripts/soak` plays new ones.
export const seedsToTry = ({ briefly, atLength }: { briefly: number; atLength: number }): number =>
  Number(process.env.CAIRNFS_TEST_SEEDS ?? (process.env.CAIRNFS_TEST_FULL === 'true' ? atLength : briefly))
