/**
 * `npm test [-- vitest arguments]`: installs what is missing, builds, starts the tests' private services, runs every
 * suite and exits with its status. The last line is plain: `N passed, N failed`.
 *
 *   --env   only print the environment (SEALFLEET_TEST_*) that leads to the running services
 *
 * The services stay up for a fast second run; with CI=true they are stopped at the end, whatever the end was.
 */
import './lib/node-version.mjs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { formatEnvironment, testEnvironment } from './lib/environment.mjs'
import { readIfThere } from './lib/files.mjs'
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
  let outcome
  try {
    const state = await startServices({ home: testHome, names: TEST_SERVICES })
    outcome = await runVitest({ ...process.env, ...(await testEnvironment(testHome, state)) })
  } finally {
    if (ci) await stopServices({ home: testHome })
  }
  console.log(`${outcome.passed} passed, ${outcome.failed} failed`)
  return outcome.failed > 0 ? outcome.status || 1 : 0
})

/** @typedef {{ passed: number, failed: number, status: number }} Outcome */

/** @param {NodeJS.ProcessEnv} env @returns {Promise<Outcome>} */
async function runVitest(env) {
  const report = join(testHome, `vitest-${process.pid}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const vitest = join(checkout, 'node_modules', 'vitest', 'vitest.mjs')
  try {
    const status = await runNode([vitest, 'run', ...reporters, ...vitestArguments], { env })
    return counts(await readIfThere(report), status)
  } finally {
    await rm(report, { force: true })
  }
}

/**
 * The counts of vitest's report. Never "0 failed" for a run that did not go well: suites that could not be loaded and
 * errors outside of any test count, a run without a report or without a single test is a failure.
 *
 * @param {string | undefined} report
 * @param {number} status vitest's own
 * @returns {Outcome}
 */
function counts(report, status) {
  if (report === undefined) {
    say(`vitest left no report (exit status ${status})`)
    return { passed: 0, failed: 1, status }
  }
  const result = JSON.parse(report)
  const brokenSuites = result.testResults.filter(
    (/** @type {{ status: string, assertionResults: { status: string }[] }} */ suite) =>
      suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  ).length
  const passed = Number(result.numPassedTests)
  const failed = Number(result.numFailedTests) + brokenSuites
  return { passed, failed: Math.max(failed, status === 0 && passed > 0 ? 0 : 1), status }
}
