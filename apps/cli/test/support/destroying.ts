import { expect } from 'vitest'
import { until, type Life } from './life.js'
import type { Officers } from './officers.js'

/** A second, in days: the shortest wait that `--wait-days` can ask for. */
export const SECOND = '0.00001'

const TERMS = ['--reason', 'end of retention', '--backups', 'none', '--wait-days', SECOND]

/**
 * Destroys a version of the default domain's keys as people do: asked for once nothing stands in the way, signed by two
 * officers, scheduled, and carried out by the maintenance process that runs.
 */
export async function destroy(
  life: Life,
  officers: Officers,
  { role, version }: { readonly role: 'enc' | 'sig'; readonly version: number },
  more: readonly string[] = [],
): Promise<void> {
  const key = ['keys', 'destroy', '--role', role, '--version', String(version)]
  await until(async () => {
    const look = await life.sealfleet(...key, ...TERMS, ...more, '--dry-run', '--json')
    const { refusal } = look.json<{ refusal: string | null }>()
    return refusal === null ? null : look.stdout.toString()
  })
  const asked = await life.sealfleet(...key, ...TERMS, ...more, '--json')
  const { id } = asked.json<{ request: { id: string } }>().request
  const use = [...key, '--request', id]
  expect(await life.refused(...use)).toMatchObject({ code: 'REQUEST_UNSIGNED' })
  expect(await officers.signAs('ada', id)).toEqual({ status: 0 })
  expect(await officers.signAs('ada', id)).toMatchObject({ code: 'OPERATOR_TWICE' })
  expect(await life.refused(...use)).toMatchObject({ code: 'REQUEST_UNSIGNED' })
  expect(await officers.signAs('grace', id)).toEqual({ status: 0 })
  await life.sealfleet(...use)
  await until(async () => {
    const [row] = await life.query<{ state: string; refusal: unknown }>(
      `SELECT k.state::text, d.last_refusal AS refusal FROM destructions d JOIN master_keys k ON k.id = d.key_id
       WHERE d.request_id = $1`,
      [id],
    )
    if (row?.state === 'DESTROYED') return null
    const log = life.houseLog().trim().split('\n').slice(-5).join('\n')
    return `${role} ${version} is ${row?.state}; last refusal ${JSON.stringify(row?.refusal)}; maintenance says:\n${log}`
  })
}
