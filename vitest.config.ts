import { defineConfig } from 'vitest/config'

/** Set-up of every suite. */
const shared = {
  pool: 'forks',
  maxConcurrency: 3,
  // Bounds for what hangs, not measures: a busy machine is ten times slower than a quiet one.
  testTimeout: 180_000,
  hookTimeout: 240_000,
  expect: { poll: { timeout: 60_000 } },
  restoreMocks: true,
  unstubEnvs: true,
} as const

/** Bytes in, bytes out: no service, no process, nothing that two files could share by accident. */
const UNIT = ['packages/{config,format,kernel,telemetry}/test/**/*.test.ts', 'tools/test/{docs,model}.test.ts']

/** Files that change the process they run in (a mocked module, its warnings, its heap) or count the slots of its arena: each gets one of its own. */
const ALONE = [
  'packages/format/test/secrets.test.ts',
  'packages/telemetry/test/leak.test.ts',
  'packages/format/test/arena.test.ts',
  'packages/hsm/test/pads.test.ts',
  'packages/hsm/test/pool-softhsm.test.ts',
  'apps/worker/test/leak.test.ts',
  'apps/worker/test/warnings.test.ts',
]

/** Long runs: two minutes of chaos, the soak of the HSM pool, large volumes. `npm run test:full` has them. */
const ENDURANCE = ['**/*.endurance.test.ts']

const ALL = ['packages/*/test/**/*.test.ts', 'apps/*/test/**/*.test.ts', 'tools/test/**/*.test.ts']

/** Suites that read and write times, bytes and JSON. */
const ANY_SESSION = [
  'packages/records/test/{requests,search-audit,rekey-run}.test.ts',
  'packages/audit/test/{audit,audit-earlier}.test.ts',
]

/** Suites of sealing and opening. The others run on the fastest path that the machine has, these once more on each. */
const SEALING = ['packages/format/test/{kernel-seal,keystream,open,range,reader,seal,secrets,tamper,vectors}.test.ts']

/** Needs the whole machine to itself: what it does to the services and the clock would fail its neighbours. */
const CHAOS = ['tools/test/chaos.test.ts']

/**
 * Tests run against real services: `tools/test.mjs` builds, starts them and hands over their addresses in
 * SEALFLEET_TEST_*. Workspace packages are imported as built (dist); a package's own tests import ../src.
 *
 * Files of one project share their processes (`isolate: false`): loading the S3, Redis and Postgres clients again for each
 * file was a third of the whole run.
 */
export default defineConfig({
  test: {
    globalSetup: ['tools/lib/vitest-setup.mjs'],
    tags: [
      {
        name: 'long',
        description:
          'The rest of a matrix, or the long form of a promise that another test proves: `npm run test:full` and CI run it.',
      },
    ],
    projects: [
      {
        test: {
          ...shared,
          name: 'unit',
          pool: 'threads',
          isolate: false,
          include: UNIT,
          exclude: ALONE,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...shared,
          name: 'services',
          isolate: false,
          include: ALL,
          exclude: [...UNIT, ...ALONE, ...ENDURANCE, ...CHAOS],
          // More than there are cores: tests of leases and time-outs wait for most of their time.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        // Once more on databases whose defaults are hostile, in another zone: what is read and written there is the same.
        test: {
          ...shared,
          name: 'any-session',
          include: ANY_SESSION,
          env: {
            SEALFLEET_TEST_DATABASE_DEFAULTS: 'hostile',
            TZ: 'America/St_Johns',
            // For the tests' own connections, which look at what ours did; ours do not read it.
            PGOPTIONS:
              '-c timezone=Europe/Berlin -c datestyle=ISO -c bytea_output=hex -c extra_float_digits=1 -c search_path=public ' +
              '-c standard_conforming_strings=on -c statement_timeout=0 -c lock_timeout=0 ' +
              '-c idle_in_transaction_session_timeout=0 -c default_transaction_isolation=read\\ committed',
          },
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      ...['typescript', 'evp'].map((path) => ({
        test: {
          ...shared,
          name: path,
          include: SEALING,
          setupFiles: ['packages/format/test/kernel-path.ts'],
          env: { SEALFLEET_TEST_KERNEL: path },
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      })),
      { test: { ...shared, name: 'alone', include: ALONE, maxWorkers: 2, sequence: { groupOrder: 2 } } },
      { test: { ...shared, name: 'chaos', include: CHAOS, maxWorkers: 1, sequence: { groupOrder: 3 } } },
      { test: { ...shared, name: 'endurance', include: ENDURANCE, maxWorkers: 1, sequence: { groupOrder: 4 } } },
    ],
  },
})
