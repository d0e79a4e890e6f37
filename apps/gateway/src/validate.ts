import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import { Problem } from './problem.js'
import { COMPONENTS, type Schema } from './schemas.js'

/** Bodies are taken as they are; texts of a query become the numbers that its schema asks for. */
const strict = ajv(false)
const lenient = ajv(true)

function ajv(coerceTypes: boolean): Ajv2020 {
  const made = new Ajv2020({ coerceTypes, useDefaults: coerceTypes, strict: false, allErrors: false })
  made.addSchema({ $id: 'document', components: { schemas: COMPONENTS } })
  return made
}

/** A check of values against a schema that may name components of the document. @param of texts, which are converted */
export function compile(schema: Schema, of: 'json' | 'texts'): ValidateFunction {
  const named = JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"document#/components/')) as Schema
  return (of === 'json' ? strict : lenient).compile(named)
}

/** @throws Problem with `code` */
export function check(
  validate: ValidateFunction,
  value: unknown,
  where: string,
  code: 'BAD_REQUEST' | 'PAYLOAD_INVALID',
) {
  if (!validate(value)) throw new Problem(code, sentence(validate.errors?.[0], where))
}

let item: ValidateFunction | undefined

/** One item of a batch. @throws Problem PAYLOAD_INVALID */
export function checkItem(value: unknown): unknown {
  check((item ??= compile(COMPONENTS.Item, 'json')), value, 'item', 'PAYLOAD_INVALID')
  return value
}

/** Where, and what is wrong: names of ours and of the caller's own members, never a value. */
export function sentence(
  error: (Pick<ErrorObject, 'instancePath' | 'keyword'> & { readonly message?: string | undefined }) | undefined,
  where: string,
): string {
  if (error === undefined) return `the ${where} is not as the document says`
  const at = `${where}${error.instancePath.slice(0, 100)}`
  if (error.keyword === 'additionalProperties') return `${at} has a member that is not in the document`
  return `${at} ${error.message ?? 'is not as the document says'}`
}
