/**
 * `npm test [-- vitest arguments]`: installs what is missing, builds, starts the tests' private services, runs every
 * suite and exits with its status. The last line is plain: `N passed, N failed`.
 *
 *   --env    only print the environment (SEALFLEET_TEST_*) that leads to the running services
 *   --all    the tests with the tag `long` too, which `npm test` leaves out (CI)
 *
 * Without arguments: every suite but the project endurance, in its short form. With arguments for vitest (files, `-t`,
 * `--project`): all that they name. With SEALFLEET_TEST_FULL=1 (`npm run test:full`): everything, with larger volumes.
 *
 * The services stay up for a fast second run; with CI=true they are stopped at the end, whatever the end was.
 */
import './lib/node-version.mjs'
import { rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { formatEnvironment, testEnvironment } from './lib/environment.mjs'
import { readIfThere } from './lib/files.mjs'
import { checkout, testHome } from './lib/places.mjs'
import { startServices, stopServices, TEST_SERVICES } from './lib/private-services.mjs'
import { runNode, runStep } from './lib/run.mjs'
import { Refusal, runMain } from './lib/say.mjs'
import { countTests, slowestFiles } from './lib/vitest-report.mjs'

const all = process.argv.includes('--all')
const vitestArguments = process.argv.slice(2).filter((argument) => argument !== '--all')
const ci = process.env['CI'] === 'true'

await runMain(async () => {
  if (vitestArguments.includes('--env')) {
    const state = await startServices({ home: testHome, names: TEST_SERVICES })
    process.stdout.write(formatEnvironment(await testEnvironment(testHome, state)))
    return 0
  }
  await runStep('set-up', 'setup.mjs', ['--tests'])
  await runStep('build', 'build.mjs', [])
  const ended = ci ? noteSignals() : undefined
  let counts
  try {
    const state = await startServices({ home: testHome, names: TEST_SERVICES })
    ended?.throwIfAborted()
    counts = await runVitest({ ...process.env, ...(await testEnvironment(testHome, state)) })
  } finally {
    if (ci) await stopServices({ home: testHome })
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`)
  return counts.failed > 0 ? 1 : 0
})

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Promise<import('./lib/vitest-report.mjs').Counts>}
 */
async function runVitest(env) {
  const report = join(testHome, `vitest-${process.pid}.json`)
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const part = partOf(env)
  const vitest = join(checkout, 'node_modules', 'vitest', 'vitest.mjs')
  try {
    const status = await runNode([vitest, 'run', ...reporters, ...part, ...vitestArguments], { env })
    const text = await readIfThere(report)
    const slowest = slowestFiles(text, 10)
    if (slowest.length > 1) console.log('\nThe ten slowest files, in seconds:')
    for (const { file, seconds } of slowest)
      console.log(`${seconds.toFixed(1).padStart(7)}  ${relative(checkout, file)}`)
    return countTests(text, status)
  } finally {
    await rm(report, { force: true })
  }
}

/**
 * The part of the suites that runs, as arguments for vitest.
 *
 * @param {NodeJS.ProcessEnv} env
 * @returns {readonly string[]}
 */
function partOf(env) {
  if (all) return ['--project=!endurance']
  if (vitestArguments.length > 0 || env['SEALFLEET_TEST_FULL'] === '1') return []
  return ['--project=!endurance', '--tags-filter=!long']
}

/** Ends in good order on a signal that comes while services start: otherwise they would be left running. */
function noteSignals() {
  const noted = new AbortController()
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(signal, () => noted.abort(new Refusal(`ended by ${signal}`)))
  }
  return noted.signal
}
