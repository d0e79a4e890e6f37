/**
 * An auditor's anchor, kept out of reach of writers of database and store: the head of a checkpoint, as a file or as
 * `NO:SHA256`. Only it shows that both were rolled back together.
 */
import type { CheckpointHead } from './checkpoint.js'
import { sha256Hex } from './body.js'
import type { Findings } from './findings.js'
import type { KnownCheckpoint } from './verify-checkpoints.js'

export interface Anchor {
  readonly no: number
  /** Of the checkpoint's body, hex. */
  readonly sha256: string
}

/** @throws TypeError for text that is neither */
export function parseExpectation(text: string): Anchor {
  const [, no, sha256] = /^([1-9]\d{0,9}):([0-9a-fA-F]{64})$/.exec(text) ?? []
  if (no === undefined || sha256 === undefined) throw new TypeError('an expected checkpoint is NO:SHA256')
  return { no: Number(no), sha256: sha256.toLowerCase() }
}

/** @throws TypeError for a text that is not an anchor */
export function parseAnchor(text: string): Anchor {
  const value: unknown = JSON.parse(text)
  const { v, no, sha256 } = (typeof value === 'object' ? (value ?? {}) : {}) as Record<string, unknown>
  if (v !== 1 || typeof no !== 'number' || typeof sha256 !== 'string') throw new TypeError('that is no anchor')
  return parseExpectation(`${no}:${sha256}`)
}

export function formatAnchor({ no, sha256, batchNo, rows, hash }: CheckpointHead): string {
  return `${JSON.stringify({ v: 1, no, sha256, batchNo, rows, hash }, undefined, 2)}\n`
}

export function checkAnchor(anchor: Anchor, known: readonly KnownCheckpoint[], findings: Findings): void {
  const { no, sha256 } = anchor
  const found = known.find(({ row }) => row.no === no)
  const subject = `checkpoint ${no}`
  if (found === undefined)
    findings.add(
      'anchor-missing',
      subject,
      `${subject}, which the auditor keeps, is gone: database and store were rolled back`,
    )
  else if (sha256Hex(found.row.body) !== sha256)
    findings.add('anchor-differs', subject, `${subject} is not the one that the auditor keeps`)
}
