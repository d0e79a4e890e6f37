/**
 * `npm test [-- vitest arguments]`: installs what is missing, builds, starts the tests' private services, runs every
 * suite and exits with its status. The last line is plain: `N passed, N failed`.
 *
 *   --env   only print the environment (SEALFLEET_TEST_*) that leads to the running services
 *
 * The services stay up for a fast second run; with CI=true they are stopped at the end, whatever the end was.
 */
import './lib/node-version.mjs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { formatEnvironment, testEnvironment } from './lib/environment.mjs'
import { checkout, testHome } from './lib/places.mjs'
import { startServices, stopServices, TEST_SERVICES } from './lib/private-services.mjs'
import { runNode, runStep } from './lib/run.mjs'
import { runMain, say } from './lib/say.mjs'

const vitestArguments = process.argv.slice(2)
const ci = process.env['CI'] === 'true'

await runMain(async () => {
  if (vitestArguments.includes('--env')) {
    const state = await startServices({ home: testHome, names: TEST_SERVICES })
    process.stdout.write(formatEnvironment(await testEnvironment(testHome, state)))
    return 0
  }
  await runStep('set-up', 'setup.mjs', ['--tests'])
  await runStep('build', 'build.mjs', [])
  try {
    const state = await startServices({ home: testHome, names: TEST_SERVICES })
    return await runVitest({ ...process.env, ...(await testEnvironment(testHome, state)) })
  } finally {
    if (ci) await stopServices({ home: testHome })
  }
})

/** @param {NodeJS.ProcessEnv} env @returns {Promise<number>} the exit status */
async function runVitest(env) {
  const report = join(testHome, `vitest-${process.pid}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const vitest = join(checkout, 'node_modules', 'vitest', 'vitest.mjs')
  try {
    const status = await runNode([vitest, 'run', ...reporters, ...vitestArguments], { env })
    return await printCounts(report, status)
  } finally {
    await rm(report, { force: true })
  }
}

/**
 * Prints the counts of vitest's report. A suite that could not even be loaded counts as a failure; so does a run that
 * left no report or ran nothing.
 *
 * @param {string} report
 * @param {number} status vitest's own
 */
async function printCounts(report, status) {
  let result
  try {
    result = JSON.parse(await readFile(report, 'utf8'))
  } catch (error) {
    say(`vitest left no report (exit status ${status}): ${String(error)}`)
    return status || 1
  }
  const passed = Number(result.numPassedTests)
  const brokenSuites = result.testResults.filter(
    (/** @type {{ status: string, assertionResults: { status: string }[] }} */ suite) =>
      suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  ).length
  // vitest also fails for errors outside of any test: such a run must not read as "0 failed".
  const failed = Math.max(Number(result.numFailedTests) + brokenSuites, status === 0 ? 0 : 1)
  console.log(`${passed} passed, ${failed} failed`)
  return status || (failed > 0 || passed === 0 ? 1 : 0)
}
