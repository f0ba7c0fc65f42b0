// One route of the API as data: what it takes, what it answers, which acts of the matrix it is. The OpenAPI page, the
// pipeline and the test of who may call what are all made from it.

import { z } from '@hono/zod-openapi'
import type { ApiCaller } from '../../actions/authenticate-caller.ts'
import type { Edge } from '../../actions/edge.ts'
import { type Reader, readerOf } from '../../actions/list-rows.ts'
import type { Context, Deps, Keys } from '../../actions/ports.ts'
import { BODY_BYTES } from '../../core/limits.ts'
import type { Act } from '../../core/matrix.ts'
import type { Problem } from '../../core/problem.ts'
import type { Recipe } from '../../core/recipe.ts'
import { ok, type Result } from '../../core/result.ts'
import { check, type Refused } from './read-input.ts'

/** What the API needs beside the edge. */
export type ApiParts = {
  readonly keys: Keys
  /** What is wrong with the manifests folder at present, a line each. */
  readonly manifestFaults?: () => readonly string[]
  /** Where `file:` references of a pushed set may name into (S5). */
  readonly config: { readonly secretsPath: string | null }
  /** What a target of type http may use; absent: not checked. */
  readonly recipes?: ReadonlyMap<string, Recipe>
}

/** One authenticated call. */
export type Call = {
  readonly edge: Edge
  readonly deps: Deps
  readonly parts: ApiParts
  readonly caller: ApiCaller
  readonly context: Context & { readonly caller: ApiCaller }
  readonly reader: Reader
  /** Aborts when the client goes away. */
  readonly signal: AbortSignal
}

export const callOf = (
  edge: Edge,
  parts: ApiParts,
  caller: ApiCaller,
  requestId: string,
  signal: AbortSignal,
): Call => ({
  edge,
  deps: edge.deps,
  parts,
  caller,
  context: { caller, requestId },
  reader: readerOf(edge.deps),
  signal,
})

type Raw = { readonly params: unknown; readonly query: unknown; readonly body: unknown }
type Answered = { readonly value: unknown; readonly status: number }

/** A route with its types folded away: the pipeline hands it what was sent. */
export type Route = {
  readonly method: 'get' | 'post' | 'delete'
  /** OpenAPI form: `/agents/{name}`. */
  readonly path: `/${string}`
  /** Any one of them; empty is anybody who is authenticated. */
  readonly acts: readonly Act[]
  readonly says: string
  readonly params: z.ZodObject
  readonly query: z.ZodObject
  readonly body: z.ZodType | null
  readonly bodyBytes: number
  readonly answer: z.ZodType
  readonly status: number
  /** Null: JSON. */
  readonly contentType: string | null
  run(call: Call, raw: Raw): Promise<Result<Answered, Refused>>
}

type Spec<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, A extends z.ZodType> = {
  readonly method: Route['method']
  readonly path: Route['path']
  readonly acts: readonly Act[]
  readonly says: string
  readonly params?: P
  readonly query?: Q
  readonly body?: B
  readonly bodyBytes?: number
  readonly answer: A
  readonly status?: number
  readonly contentType?: string
  statusFor?(value: z.input<A>): number
  run(
    call: Call,
    input: { readonly params: z.output<P>; readonly query: z.output<Q>; readonly body: z.output<B> },
  ): Promise<Result<z.input<A>, Problem>>
}

const nothing = z.strictObject({})

export function route<
  A extends z.ZodType,
  P extends z.ZodObject = typeof nothing,
  Q extends z.ZodObject = typeof nothing,
  B extends z.ZodType = typeof nothing,
>(spec: Spec<P, Q, B, A>): Route {
  const { method, path, acts, says, answer, status = 200 } = spec
  const params: z.ZodObject = spec.params ?? nothing
  const query: z.ZodObject = spec.query ?? nothing
  const body: z.ZodType = spec.body ?? nothing
  return {
    method,
    path,
    acts,
    says,
    params,
    query,
    body: spec.body ?? null,
    bodyBytes: spec.bodyBytes ?? BODY_BYTES.api,
    answer,
    status,
    contentType: spec.contentType ?? null,
    async run(call, raw) {
      const readParams = check(params, raw.params, 'path')
      if (!readParams.ok) return readParams
      const readQuery = check(query, raw.query, 'query')
      if (!readQuery.ok) return readQuery
      const readBody = check(body, raw.body, 'body')
      if (!readBody.ok) return readBody
      const done = await spec.run(call, {
        params: readParams.value as z.output<P>,
        query: readQuery.value as z.output<Q>,
        body: readBody.value as z.output<B>,
      })
      if (!done.ok) return { ok: false, error: { problem: done.error } }
      return ok({ value: done.value, status: spec.statusFor?.(done.value) ?? status })
    },
  }
}
