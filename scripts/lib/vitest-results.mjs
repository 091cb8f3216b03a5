// A vitest reporter that writes what scripts/test counts: passed, failed, and what was skipped with its reason (which
// vitest's own JSON reporter leaves out). The file is named by CAIRNFS_TEST_RESULTS.
import { writeFileSync } from 'node:fs'

export default class ResultsReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const results = { passed: 0, failed: unhandledErrors.length, skipped: [], failures: [] }
    for (const error of unhandledErrors) results.failures.push(String(error.message))
    for (const module of modules) {
      // A file that does not load has no tests that could fail.
      const errors = [module, ...module.children.allSuites()].flatMap((each) => each.errors())
      results.failed += errors.length
      results.failures.push(...errors.map(() => module.relativeModuleId))
      for (const test of module.children.allTests()) {
        const { state, note } = test.result()
        if (state === 'passed') results.passed++
        else if (state === 'failed') {
          results.failed++
          results.failures.push(`${module.relativeModuleId}: ${test.fullName}`)
        } else results.skipped.push({ name: test.fullName, reason: note ?? null })
      }
    }
    writeFileSync(process.env.CAIRNFS_TEST_RESULTS, JSON.stringify(results))
  }
}
