/** What can be said of the documents by a program: their form, their links, and the names in them that the code defines. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { variableTable } from '@sealfleet/config'
import { createMetrics } from '@sealfleet/telemetry'
import { expect, test } from 'vitest'

const ROOT = path.resolve(import.meta.dirname, '../..')
const textOf = (document: string): string => readFileSync(path.join(ROOT, document), 'utf8')
const filesOf = (folder: string): readonly string[] =>
  readdirSync(path.join(ROOT, folder)).map((name) => path.join(folder, name))

const documents = ['.', 'docs', 'docs/decisions', 'tools', ...filesOf('packages'), ...filesOf('apps')]
  .flatMap(filesOf)
  .filter((file) => file.endsWith('.md'))
  .sort()

interface Line {
  readonly at: string
  readonly text: string
  readonly code: boolean
}

/** The lines of a document; those of fenced blocks are code. */
function linesOf(document: string): readonly Line[] {
  let code = false
  return textOf(document)
    .split('\n')
    .map((text, n) => {
      const fence = /^ *```/.test(text)
      if (fence) code = !code
      return { at: `${document}:${n + 1}`, text, code: code || fence }
    })
}

const lines = documents.flatMap(linesOf)

test('no line is longer than 120 columns, but rows of tables and addresses', () => {
  const long = lines.filter(({ text }) => text.length > 120 && !text.startsWith('|') && !/https?:\/\/\S{60}/.test(text))
  expect(long.map(({ at, text }) => `${at} ${text.length}`)).toEqual([])
})

/** Words of another register, each with what is said instead. */
const WORDS: readonly (readonly [words: RegExp, instead: string])[] = [
  [/\bwho(m)?ever\b/gi, 'a person who, a user who, or the thing itself'],
  [/\bsomebody\b/gi, 'a person, or who it is'],
  [/\bnobody\b/gi, 'no one, no process, no user'],
  [/\banew\b/gi, 'again, or re-'],
  [/\bfor\s+ever\b/gi, 'permanently'],
  [/\bcan\s+not\b/gi, 'cannot'],
  [/\bso\s+many\b/gi, 'N'],
  [/\b(is|are)\s+told\b/gi, 'receives, is reported'],
  [/\bgoe?s?\s+on\b/gi, 'continues'],
]

/** Where a word is a name: a user of the system, and titles of tests in docs/HSM.md. */
const NAMES = [/\(or `nobody`\)/, /`hsm-failover` goes on sealing/, /`worker\/hsm-failover` goes on sealing/]

test('the documents are in plain words', () => {
  const found = documents.flatMap((document) => {
    let text = textOf(document).replace(/(?<=\n)```[\s\S]*?\n```/g, '')
    for (const name of [...NAMES, /`start` lets the agents that run go on/]) text = text.replace(name, '')
    return WORDS.flatMap(([words, instead]) =>
      [...text.matchAll(words)].map(({ 0: word, index }) => {
        const around = text.slice(Math.max(0, index - 30), index + 30).replace(/\s+/g, ' ')
        return `${document}: "${word}" in "…${around}…": write ${instead}`
      }),
    )
  })
  expect(found).toEqual([])
})

/** Anchors of a document's headings, as GitHub makes them. */
function anchorsOf(document: string): ReadonlySet<string> {
  const anchors = new Set<string>()
  for (const { text, code } of linesOf(document)) {
    const heading = code ? undefined : /^#{1,6} (.+)$/.exec(text)?.[1]
    if (heading === undefined) continue
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replace(/ /g, '-')
    let anchor = slug
    for (let n = 1; anchors.has(anchor); n++) anchor = `${slug}-${n}`
    anchors.add(anchor)
  }
  return anchors
}

test('every link leads to a file that is there, and to a heading that is in it', () => {
  const broken: string[] = []
  for (const document of documents) {
    const text = textOf(document).replace(/(?<=\n) *```[\s\S]*?\n *```/g, '')
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target)) continue
      const [file = '', anchor] = target.split('#')
      const where = file === '' ? document : path.normalize(path.join(path.dirname(document), file))
      const there = existsSync(path.join(ROOT, where))
      if (!there || (anchor !== undefined && !anchorsOf(where).has(anchor))) broken.push(`${document}: ${target}`)
    }
  }
  expect(broken).toEqual([])
})

test('every setting that a document names is one of the table', () => {
  const known = variableTable().flatMap(({ name }) => {
    const [plain = ''] = name.split('[')
    return name.endsWith('[_FILE]') ? [plain, `${plain}_FILE`] : [plain]
  })
  const unknown = lines.flatMap(({ at, text }) =>
    [...text.matchAll(/\bSEALFLEET_(?!TEST_)[A-Z0-9_]+(…|\*)?/g)]
      // `SEALFLEET_S3_…` stands for all that begin so.
      .filter(([name]) => {
        const group = /^(.*_)(…|\*)?$/.exec(name)?.[1]
        return group === undefined ? !known.includes(name) : !known.some((one) => one.startsWith(group))
      })
      .map(([name]) => `${at} ${name}`),
  )
  expect(unknown).toEqual([])
})

test('every metric that a document names is one that is served', () => {
  const served = createMetrics({ processMetrics: false })
    .registry.getMetricsAsArray()
    .map(({ name }) => name)
  const named = lines.flatMap(({ at, text }) =>
    [...text.matchAll(/`(sealfleet_[a-z0-9_]+)(?:\{[^`]*\})?`/g)].map(([, name = '']) => ({ at, name })),
  )
  expect(named.length).toBeGreaterThan(30)
  // Functions of the database, which producers call; and a metric that ops makes where it asks.
  const others = ['sealfleet_batch', 'sealfleet_enqueue', 'sealfleet_ops_source_up']
  const unknown = named.filter(({ name }) => !served.includes(name) && !others.includes(name))
  expect(unknown.map(({ at, name }) => `${at} ${name}`)).toEqual([])
})

test('every script that a document runs is there', () => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Readonly<Record<string, string>> }
  const missing = lines.flatMap(({ at, text }) => [
    ...[...text.matchAll(/\bnpm run ([a-z][a-z:]*)/g)]
      .filter(([, name = '']) => !(name in scripts))
      .map(([command]) => `${at} ${command}`),
    ...[...text.matchAll(/\bnode ((?:apps|packages|scripts)\/[\w./-]+\.m?js)/g)]
      .filter(([, file = '']) => !existsSync(path.join(ROOT, file)))
      .map(([command]) => `${at} ${command}`),
  ])
  expect(missing).toEqual([])
})
