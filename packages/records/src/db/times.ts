import { PrismaPg } from '@prisma/adapter-pg'

/** The driver's table of parsers, by the type's number. */
export interface TypeParsers {
  getTypeParser(oid: number, format?: 'text' | 'binary'): (text: string) => unknown
}

const TIMESTAMPTZ = 1184
const TIMESTAMPTZ_ARRAY = 1185
const TEXT_ARRAY = 1009

const ISO = /^(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?([+-])(\d\d)(?::(\d\d))?(?::(\d\d))?$/

/**
 * A time as Postgres writes it in DateStyle ISO, in any zone, as the same instant in UTC.
 * @throws RangeError for another DateStyle: such a text is ambiguous
 */
export function instantOf(text: string): string {
  const parts = ISO.exec(text)
  if (parts === null)
    throw new RangeError('the server wrote a time in a form other than ISO: its DateStyle is not ours')
  const [, day = '', time = '', fraction = '', sign, hours = '0', minutes = '0', seconds = '0'] = parts
  const offset = (Number(hours) * 3_600 + Number(minutes) * 60 + Number(seconds)) * (sign === '-' ? -1 : 1)
  if (offset === 0) return `${day}T${time}${fraction}+00:00`
  const whole = new Date(Date.parse(`${day}T${time}Z`) - offset * 1_000)
  return `${whole.toISOString().slice(0, -'.000Z'.length)}${fraction}+00:00`
}

/** The same parsers, but for times with a zone. */
export function exactTimes(types: TypeParsers): TypeParsers {
  return {
    getTypeParser: (oid, format) => {
      if (format !== 'binary' && oid === TIMESTAMPTZ) return instantOf
      if (format !== 'binary' && oid === TIMESTAMPTZ_ARRAY) return (text) => instantsOf(text, types)
      return types.getTypeParser(oid, format)
    },
  }
}

function instantsOf(text: string, types: TypeParsers): (string | null)[] {
  const split = types.getTypeParser(TEXT_ARRAY, 'text') as (list: string) => (string | null)[]
  return split(text).map((item) => (item === null ? null : instantOf(item)))
}

type Adapter = Awaited<ReturnType<PrismaPg['connect']>>
type Statement = Parameters<Adapter['queryRaw']>[0]
type Queries = Pick<Adapter, 'queryRaw' | 'executeRaw'>

/** Prisma's adapter writes times without their zone (7.10.0): the server would read them in its session's zone. */
export class ExactTimesPg extends PrismaPg {
  override async connect(): Promise<Adapter> {
    const adapter = withZones(await super.connect())
    const begin = adapter.startTransaction.bind(adapter)
    adapter.startTransaction = async (level) => withZones(await begin(level))
    return adapter
  }
}

function withZones<T extends Queries>(queries: T): T {
  const [queryRaw, executeRaw] = [queries.queryRaw.bind(queries), queries.executeRaw.bind(queries)]
  queries.queryRaw = (statement) => queryRaw(zoned(statement))
  queries.executeRaw = (statement) => executeRaw(zoned(statement))
  return queries
}

/** The statement with its times as texts that include their zone. */
function zoned(statement: Statement): Statement {
  const isTime = statement.argTypes.map(
    ({ scalarType, dbType }) => scalarType === 'datetime' && !['DATE', 'TIME', 'TIMETZ'].includes(dbType ?? ''),
  )
  if (!isTime.includes(true)) return statement
  return {
    ...statement,
    args: statement.args.map((arg, i) => (isTime[i] ? zonedValue(arg) : arg)),
    argTypes: statement.argTypes.map((type, i) => (isTime[i] ? { ...type, scalarType: 'string' as const } : type)),
  }
}

function zonedValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(zonedValue)
  return value instanceof Date || typeof value === 'string' ? new Date(value).toISOString() : value
}
