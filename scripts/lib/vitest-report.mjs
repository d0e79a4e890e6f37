/** What vitest's JSON report says, in two numbers that CI can read. */

/** @typedef {{ passed: number, failed: number }} Counts */

/**
 * Never "0 failed" for a run that did not go well: suites that could not be loaded and errors outside of any test count
 * as failures, and so does a run without a report or without a single test.
 *
 * @param {string | undefined} report its text; undefined when vitest left none
 * @param {number} status vitest's exit status
 * @returns {Counts}
 */
export function countTests(report, status) {
  if (report === undefined) return { passed: 0, failed: 1 }
  const { numPassedTests, numFailedTests, testResults } =
    /** @type {{ numPassedTests: number, numFailedTests: number, testResults: { status: string, assertionResults: { status: string }[] }[] }} */ (
      JSON.parse(report)
    )
  const unloadable = testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  ).length
  const failed = numFailedTests + unloadable
  return { passed: numPassedTests, failed: Math.max(failed, status === 0 && numPassedTests > 0 ? 0 : 1) }
}
