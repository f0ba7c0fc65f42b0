// The owners' page: a shell that reveals nothing, fragments for whoever signed in, and decisions that must come from this
// very page. It sets no cookie, and a link alone neither shows nor authorizes anything (S20).

import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context as HonoContext } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { z } from 'zod'
import { authenticateCaller } from '../../actions/authenticate-caller.ts'
import { authorize } from '../../actions/authorize.ts'
import { describeRequest } from '../../actions/describe-request.ts'
import type { Edge, EdgeVariables } from '../../actions/edge.ts'
import { listRows, readerOf } from '../../actions/list-rows.ts'
import { listWidenings, mayMeet } from '../../actions/list-widenings.ts'
import { definitionId } from '../../actions/look-at-definitions.ts'
import { listWaitingDefinitions, pinDefinition } from '../../actions/pin-definition.ts'
import { type Caller, type Context, StoreInDoubt, StoreUnavailable } from '../../actions/ports.ts'
import { rawHeader } from '../../actions/raw-header.ts'
import { approveRequest, denyRequest } from '../../actions/settle-request.ts'
import { settleRevision } from '../../actions/settle-revision.ts'
import { formatDuration } from '../../core/duration.ts'
import { BODY_BYTES, OPEN, TEXT } from '../../core/limits.ts'
import { keyOf } from '../../core/model.ts'
import { type Problem, problem } from '../../core/problem.ts'
import { err, ok, type Result } from '../../core/result.ts'
import { safeText } from '../../core/safe-text.ts'
import { CONSOLE_SCRIPT } from './console-script.ts'
import { CONSOLE_STYLE } from './console-style.ts'
import { createCsrf } from './csrf.ts'
import { doneFragment, type Html, listFragment, requestFragment } from './fragments.ts'
import { PAGE_HEADERS, shell } from './page.ts'
import { refusalPage } from './refusal-page.ts'
import { seeReceipt, seeReceipts } from './see-receipts.ts'

export type ConsoleEnv = { Variables: EdgeVariables; Bindings: Partial<HttpBindings> }
type Http = HonoContext<ConsoleEnv>

/** People who sign in here; everybody else has the API. */
type Person = Extract<Caller, { role: 'owner' | 'admin' | 'auditor' | 'publisher' }>
type Visit = { readonly person: Person; readonly context: Context & { readonly caller: Person } }

const SHOWN_MAX = 100
const ID = /^[A-Za-z0-9_-]{1,128}$/
const TOOL = /^[a-z0-9-]{1,63}$/
const MCP_TOOL = /^[A-Za-z0-9_.-]{1,64}$/
const shown = { csrf: z.string().max(256) }
const hash = z.string().regex(/^([0-9a-f]{64})?$/)
const reason = z.string().trim().min(1).max(TEXT.reason).optional()
const BODIES = {
  approve: z.strictObject({
    ...shown,
    hash,
    scopes: z.array(z.string().min(1).max(128)).min(1).max(OPEN.scopesPerRequest),
    durationSeconds: z.int().min(1),
  }),
  deny: z.strictObject({ ...shown, hash, reason }),
  settle: z.strictObject({ ...shown, reason }),
  pin: z.strictObject({ ...shown, hash: z.string().regex(/^[0-9a-f]{64}$/) }),
}

export function createConsoleApp(edge: Edge): Hono<ConsoleEnv> {
  const { deps } = edge
  const origin = new URL(deps.settings.issuer).origin
  const csrf = createCsrf(deps.clock)
  const app = new Hono<ConsoleEnv>()

  for (const path of ['/', '/requests/:id', '/receipts', '/receipts/:id'])
    app.get(path, (c) => c.html(shell(), 200, PAGE_HEADERS))
  const fixed = (text: string, type: string) => (c: Http) =>
    c.body(text, 200, { ...PAGE_HEADERS, 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'no-cache' })
  app.get('/console/console.css', fixed(CONSOLE_STYLE, 'text/css'))
  app.get('/console/console.js', fixed(CONSOLE_SCRIPT, 'text/javascript'))

  app.get('/console/requests', (c) =>
    visit(c, async ({ person }) => {
      const reader = readerOf(deps)
      const [waiting, widenings, definitions] = await Promise.all([
        listRows(deps, person, {
          kind: 'request',
          act: 'request.see',
          about: ({ agent, tool }) => ({ agent, tool }),
          where: { state: 'pending', expiresAfter: reader.now },
          limit: SHOWN_MAX,
        }),
        listWidenings(deps, person, { state: 'waiting' }),
        listWaitingDefinitions(deps, person),
      ])
      if (!waiting.ok) return waiting
      const requests = await Promise.all(waiting.value.rows.map((row) => describeRequest(deps, row)))
      const mine = widenings.filter((widening) => mayMeet(person, widening)).slice(0, SHOWN_MAX)
      const forms = mine.map((widening) => ({
        widening,
        csrf: csrf.issue({ bearer: person.bearer, id: widening.id, hash: widening.after }),
      }))
      const offered = definitions.slice(0, SHOWN_MAX).map((definition) => ({
        definition,
        csrf: csrf.issue({
          bearer: person.bearer,
          id: definitionId(definition.tool, definition.name),
          hash: definition.digest,
        }),
      }))
      return ok(listFragment(requests, forms, offered))
    }),
  )

  app.get('/console/requests/:id', (c) =>
    visit(c, async ({ person }) => {
      const seen = await requestFor(c, person)
      if (!seen.ok) return seen
      const { agent, tool } = seen.value
      const request = await describeRequest(deps, seen.value)
      const [approve, deny] = await Promise.all([
        authorize(readerOf(deps), person, 'request.approve', { agent }),
        authorize(readerOf(deps), person, 'request.deny', { agent, tool }),
      ])
      const token = csrf.issue({ bearer: person.bearer, id: request.id, hash: request.hash ?? '' })
      return ok(requestFragment(request, { approve: approve === null, deny: deny === null }, token))
    }),
  )

  app.get('/console/receipts', (c) => visit(c, ({ person }) => seeReceipts(deps, person)))
  app.get('/console/receipts/:id', (c) =>
    visit(c, ({ person }) => {
      const id = c.req.param('id')
      return seeReceipt(deps, person, ID.test(id) ? id : null)
    }),
  )

  const limit = bodyLimit({
    maxSize: BODY_BYTES.console,
    onError: (c: Http) => refuse(c, problem('invalid_request', 'That is too long.'), 413),
  })

  app.post('/console/requests/:id/approve', limit, (c) =>
    decide(
      c,
      BODIES.approve,
      ({ hash }) => hash,
      async ({ context }, id, body) => {
        if (body.hash === '')
          return err(problem('conflict', 'There is nothing left to approve.', { hint: 'Look at the request again.' }))
        const scopes = [...new Set(body.scopes)].sort()
        const done = await approveRequest(deps, context, {
          request: id,
          hash: body.hash,
          scopes,
          durationSeconds: body.durationSeconds,
        })
        if (!done.ok) return done
        const { grant, request } = done.value
        const given = `${safeText(grant.agent)} may use ${grant.scopes.map((scope) => safeText(scope)).join(', ')} on ${safeText(grant.tool)} for ${formatDuration(Math.round((grant.expiresAt - grant.createdAt) / 1000))}.`
        const less = grant.scopes.length < request.scopes.length ? ['That is less than it asked for.'] : []
        return ok(doneFragment('Approved', [given, ...less, `Take it back with: hallpass grant revoke ${grant.id}`]))
      },
    ),
  )
  app.post('/console/requests/:id/deny', limit, (c) =>
    decide(
      c,
      BODIES.deny,
      ({ hash }) => hash,
      async ({ context }, id, body) => {
        const done = await denyRequest(deps, context, { request: id, reason: body.reason ?? null })
        return done.ok
          ? ok(doneFragment('Denied', [`${safeText(done.value.agent)} gets nothing, and is told so.`]))
          : done
      },
    ),
  )
  for (const decision of ['accept', 'decline'] as const)
    app.post(`/console/widenings/:id/${decision}`, limit, async (c) => {
      const id = c.req.param('id') ?? ''
      const after = ID.test(id)
        ? (await deps.store.read([keyOf('widening', id)])).get('widening', id)?.after
        : undefined
      return decide(
        c,
        BODIES.settle,
        () => after ?? '',
        async ({ context }, _, body) => {
          const done = await settleRevision(deps, context, { id, decision, reason: body.reason ?? null })
          if (!done.ok) return done
          return ok(doneFragment(decision === 'accept' ? 'Accepted' : 'Declined', done.value.settled.map(outcomeOf)))
        },
      )
    })

  app.post('/console/tools/:tool/definitions/:name/pin', limit, (c) => {
    const tool = c.req.param('tool') ?? ''
    const name = c.req.param('name') ?? ''
    return decide(
      c,
      BODIES.pin,
      ({ hash }) => hash,
      async ({ context }, _, { hash: digest }) => {
        const done = await pinDefinition(deps, context, { tool, name, digest })
        if (!done.ok) return done
        const said = `Agents that hold its scope on ${safeText(tool)} see and call ${safeText(name)} as it was shown.`
        return ok(
          doneFragment('Accepted', [
            said,
            `Take it back with: hallpass tool unpin ${safeText(tool)} ${safeText(name)}`,
          ]),
        )
      },
      TOOL.test(tool) && MCP_TOOL.test(name) ? definitionId(tool, name) : null,
    )
  })

  app.all('/console/*', (c) => refuse(c, problem('invalid_request', 'There is nothing here.'), 404))
  app.onError((thrown, c) => {
    const requestId = c.get('requestId')
    deps.log.error(
      { requestId, route: c.req.routePath, error: thrown.name, at: thrown.stack?.split('\n')[1]?.trim() },
      'the page failed',
    )
    const isDown = thrown instanceof StoreUnavailable || thrown instanceof StoreInDoubt
    return refuse(
      c,
      isDown
        ? problem('audit_unavailable', 'The audit trail cannot be reached, so nothing was decided.', {
            hint: 'Try again in a few seconds.',
          })
        : problem('internal', 'Something broke here. Look at the request again to see whether it was decided.'),
    )
  })
  return app

  /** Signs in, runs, and puts each refusal of somebody known on the trail. */
  async function visit(c: Http, run: (visit: Visit) => Promise<Result<Html, Problem>>): Promise<Response> {
    const route = `${c.req.method} ${c.req.routePath}`
    const who = await authenticateCaller(edge, {
      authorizations: rawHeader(c, 'authorization'),
      // The page is for people with a token; the socket has the command line.
      operator: null,
      remote: c.get('remote') ?? 'unknown',
    })
    const requestId = c.get('requestId')
    if (!who.ok) {
      const { known, problem: refused } = who.error
      if (known !== null) await edge.refusals.note({ caller: known, requestId }, refused, route)
      return refuse(c, refused, refused.code === 'rate_limited' ? 429 : 401)
    }
    const caller = who.value
    const isPerson = caller.role !== 'agent' && caller.role !== 'operator'
    const taken = isPerson ? edge.limiters.api.take(caller.bearer) : edge.limiters.call.take(caller.role)
    const done = !isPerson
      ? err(
          problem('forbidden', 'This page is for people who own agents.', {
            hint: 'Sign in with an owner token (hp_owner_…).',
          }),
        )
      : taken.ok
        ? await run({ person: caller, context: { caller, requestId } })
        : taken
    if (done.ok) return c.html(done.value, 200, PAGE_HEADERS)
    await edge.refusals.note({ caller, requestId }, done.error, route)
    return refuse(c, done.error)
  }

  /** A decision: from this page (exact Origin), of what was shown to this bearer (CSRF), in the words of `schema`. */
  async function decide<S extends z.ZodType<{ readonly csrf: string }>>(
    c: Http,
    schema: S,
    hashOf: (body: z.output<S>) => string,
    run: (visit: Visit, id: string, body: z.output<S>) => Promise<Result<Html, Problem>>,
    about: string | null = idOf(c),
  ): Promise<Response> {
    return visit(c, async (by) => {
      if (c.req.header('origin') !== origin)
        return err(
          problem('forbidden', 'A decision has to come from this page.', {
            hint: `Open it at ${origin}/.`,
            detail: 'foreign or missing Origin',
          }),
        )
      const body = schema.safeParse(await jsonOf(c))
      if (!body.success || about === null)
        return err(problem('invalid_request', 'That decision cannot be read.', { hint: 'Load the page again.' }))
      if (!csrf.verify(body.data.csrf, { bearer: by.person.bearer, id: about, hash: hashOf(body.data) }))
        return err(
          problem('forbidden', 'What you decided on was shown too long ago, or to somebody else.', {
            hint: 'Look at it again before you decide.',
            detail: 'CSRF token wrong or expired',
          }),
        )
      return run(by, about, body.data)
    })
  }

  async function requestFor(c: Http, person: Person) {
    const id = c.req.param('id') ?? ''
    const row = ID.test(id) ? (await deps.store.read([keyOf('request', id)])).get('request', id) : undefined
    const refused = await authorize(readerOf(deps), person, 'request.see', {
      agent: row?.agent ?? null,
      tool: row?.tool ?? null,
    })
    if (refused !== null)
      return err(
        problem('forbidden', 'There is no such request, or it is not yours to see.', {
          hint: 'Sign in as an owner of the agent that asks.',
          ...(refused.detail === undefined ? {} : { detail: refused.detail }),
        }),
      )
    return row === undefined ? err(problem('invalid_request', 'There is no such request.', { missing: true })) : ok(row)
  }
}

const idOf = (c: Http): string | null => {
  const id = c.req.param('id') ?? ''
  return ID.test(id) ? id : null
}

const outcomeOf = ({ slice, state }: { readonly slice: string; readonly state: string }) =>
  state === 'waiting'
    ? `${safeText(slice)}: your yes is kept; somebody else has to say yes too.`
    : `${safeText(slice)}: ${state}.`

async function jsonOf(c: Http): Promise<unknown> {
  if (!/^application\/json *(;|$)/i.test(c.req.header('content-type') ?? '')) return null
  try {
    return JSON.parse(await c.req.text())
  } catch {
    // Not JSON: refused like any other body that cannot be read.
    return null
  }
}

const refuse = (c: Http, refused: Problem, status?: number): Response =>
  refusalPage(refused, c.get('requestId'), status)
