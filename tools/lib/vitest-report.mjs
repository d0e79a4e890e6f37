/** The parts of vitest's JSON report that people and CI look at. */

/**
 * @typedef {{ name: string, status: string, startTime: number, endTime: number, assertionResults: { status: string }[] }} Suite
 * @typedef {{ numPassedTests: number, numFailedTests: number, testResults: Suite[] }} Report
 * @typedef {{ passed: number, failed: number }} Counts
 */

/**
 * Never "0 failed" for an unsuccessful run: suites that could not be loaded and errors outside of any test count as
 * failures, and so does a run without a report or without a single test.
 *
 * @param {string | undefined} report its text; undefined when vitest left none
 * @param {number} status vitest's exit status
 * @returns {Counts}
 */
export function countTests(report, status) {
  if (report === undefined) return { passed: 0, failed: 1 }
  const { numPassedTests, numFailedTests, testResults } = /** @type {Report} */ (JSON.parse(report))
  const unloadable = testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  ).length
  const failed = numFailedTests + unloadable
  return { passed: numPassedTests, failed: Math.max(failed, status === 0 && numPassedTests > 0 ? 0 : 1) }
}

/**
 * The files that took longest, slowest first: candidates for speeding up.
 *
 * @param {string | undefined} report its text
 * @param {number} count at most
 * @returns {{ file: string, seconds: number }[]} `file` as in the report
 */
export function slowestFiles(report, count) {
  if (report === undefined) return []
  const { testResults } = /** @type {Report} */ (JSON.parse(report))
  return testResults
    .map(({ name, startTime, endTime }) => ({ file: name, seconds: (endTime - startTime) / 1000 }))
    .sort((a, b) => b.seconds - a.seconds)
    .slice(0, count)
}
