import { startFaultProxy, type FaultProxy } from '@sealfleet/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Stoppable } from './support/stopping.js'
import { createWorld, type World } from './support/world.js'

let world: World
let proxy: FaultProxy
beforeAll(async () => {
  world = await createWorld()
  proxy = await startFaultProxy(world.env['SEALFLEET_S3_ENDPOINT'] ?? '')
  expect((await world.sealfleet(['keys', 'init', '--with-audit'])).status).toBe(0)
})
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})
beforeEach(() => {
  proxy.reset()
  proxy.inject('any', { kind: 'silence' })
})

const env = (patience: string) => ({
  SEALFLEET_S3_ENDPOINT: proxy.endpoint,
  SEALFLEET_S3_COMMAND_PATIENCE_MS: patience,
})

describe('a store that takes connections and never answers', () => {
  it.each([
    [['maintenance', 'run', 'sweep', '--dry-run']],
    [['maintenance', 'run', 'sweep', '--scan', '--dry-run']],
    [['recover', '--dry-run', '--merge']],
    [['maintenance', 'run', 'scrub']],
    [['audit', 'verify']],
    [['object', 'inspect', 's3://sealed/k']],
  ])('is given up by %o after two tries, with a word on standard error meanwhile', async (args) => {
    const ran = await world.inProcess([...args, '--json'], { env: env('2000') })
    expect(ran.status, ran.stdout.toString() + ran.stderr).toBe(6)
    expect(ran.json<{ error: { code: string } }>().error.code).toBe('S3_TIMEOUT')
    expect(ran.stderr).toMatch(
      new RegExp(
        `^the store at ${proxy.endpoint} has not answered since \\d\\d:\\d\\d:\\d\\dZ, for .*: .*; given up `,
        'm',
      ),
    )
    expect(proxy.seen.length).toBeGreaterThanOrEqual(1)
    expect(proxy.seen.length).toBeLessThanOrEqual(2)
  })

  it('is not waited for by someone who stops the command', async () => {
    const command = new Stoppable(world.start(['maintenance', 'run', 'sweep', '--dry-run'], { env: env('3600000') }))
    await command.says('has not answered since')
    command.kill('SIGINT')
    const ran = await command.ended
    expect([ran.signal, ran.stderr]).toEqual(['SIGINT', expect.stringContaining('stopped by SIGINT') as string])
  })

  it('that comes back is said to answer again, and the command is carried out', async () => {
    proxy.reset()
    proxy.inject('any', { kind: 'silence' }, { times: 1 })
    const ran = await world.inProcess(['maintenance', 'run', 'sweep', '--dry-run', '--json'], { env: env('16000') })
    expect(ran.status, ran.stdout.toString() + ran.stderr).toBe(0)
    expect(ran.json()).toMatchObject({ dryRun: true })
    expect(ran.stderr).toMatch(/has not answered since [^]*the store answers again/)
  })
})
