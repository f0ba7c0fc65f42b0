// What the server renders for somebody who is signed in. Everything that an agent, a manifest or a person wrote goes
// through safeText and the escaping of html``: nothing here is raw.

import { html } from 'hono/html'
import type { DescribedRequest } from '../../actions/describe-request.ts'
import type { DefinitionView } from '../../actions/pin-definition.ts'
import { formatDuration } from '../../core/duration.ts'
import type { Need, Widening } from '../../core/model.ts'
import type { Problem } from '../../core/problem.ts'
import { safeText } from '../../core/safe-text.ts'

export type Html = ReturnType<typeof html>

export const timeOf = (text: string) =>
  html`<time datetime="${text}">${text.replace('T', ' ').replace(/\.\d+Z$/, ' UTC')}</time>`

const people = (names: readonly string[]) =>
  names.length === 0 ? 'nobody' : names.map((one) => safeText(one)).join(', ')

const detailsOf = (details: DescribedRequest['details']) =>
  details === undefined
    ? 'no limits: every queue, namespace or the like'
    : Object.entries(details)
        .map(([key, values]) => `${safeText(key)}: ${values.map((value) => safeText(value)).join(' or ')}`)
        .join('; ')

const riskOf = (risk: string) => html`<span class="risk risk-${risk}">${risk} risk</span>`

export function listFragment(
  requests: readonly DescribedRequest[],
  widenings: readonly { readonly widening: Widening; readonly csrf: string | null }[],
  definitions: readonly WaitingDefinition[],
): Html {
  return html`<section class="card">
      <h1>Requests that wait for you</h1>
      ${
        requests.length === 0
          ? html`<p class="quiet">None at the moment.</p>`
          : html`<ul class="rows">
              ${requests.map(
                (request) => html`<li>
                  <a data-view href="/requests/${request.id}"><strong>${request.words}</strong></a><br />
                  ${safeText(request.agent)} asks for ${request.scopes.map((scope) => safeText(scope)).join(', ')} on ${safeText(request.tool)}
                  <div class="quiet">expires ${timeOf(request.expiresAt)}</div>
                </li>`,
              )}
            </ul>`
      }
    </section>
    <section class="card">
      <h2>Manifest changes that wait</h2>
      ${
        widenings.length === 0
          ? html`<p class="quiet">None at the moment.</p>`
          : html`<ul class="rows">
              ${widenings.map(({ widening, csrf }) => wideningRow(widening, csrf))}
            </ul>`
      }
      ${
        definitions.length === 0
          ? ''
          : html`<h2>What tools' MCP servers say, and nobody accepted</h2>
              <p class="quiet">An agent's model reads these words. Until somebody accepts them it neither sees nor calls the tool.</p>
              <ul class="rows">
                ${definitions.map(definitionRow)}
              </ul>`
      }
      <p><a data-view href="/receipts">All that was taken away</a></p>
    </section>`
}

export type WaitingDefinition = {
  readonly definition: DefinitionView & { readonly tool: string; readonly digest: string }
  readonly csrf: string
}

const definitionRow = ({ definition, csrf }: WaitingDefinition) => {
  const { tool, name, shown, scope, status, fault, digest, diff } = definition
  return html`<li>
    <strong>${safeText(shown)}</strong> ${status === 'suspended' ? html`<span class="risk risk-high">changed since it was accepted</span>` : html`<span class="quiet">new</span>`}
    <pre>${diff.map((line) => safeText(line)).join('\n')}</pre>
    <div class="quiet">for agents that hold ${safeText(scope)} on ${safeText(tool)}; digest ${digest}</div>
    ${
      fault === undefined
        ? html`<form>
            <input type="hidden" name="csrf" value="${csrf}" />
            <input type="hidden" name="hash" value="${digest}" />
            <div class="actions">
              <button class="primary" type="button" value="pin" data-post="/console/tools/${tool}/definitions/${name}/pin">Accept these words</button>
            </div>
          </form>`
        : html`<p class="notice bad">It cannot be accepted: it ${safeText(fault)}.</p>`
    }
  </li>`
}

const whoMay = ({ as, of, eligible }: Need) =>
  as === 'admin' ? `an admin for ${of}` : `the ${as} ${of} (${people(eligible)})`

const wideningRow = (widening: Widening, csrf: string | null) => html`<li>
  <strong>${safeText(widening.slice)}</strong>
  <pre>${widening.diff.map((line) => `${/^ */.exec(line)?.[0] ?? ''}${safeText(line)}`).join('\n')}</pre>
  <div class="quiet">
    Needs ${widening.needs.map((need, index) => `${safeText(whoMay(need))}${widening.given.some((given) => given.need === index) ? ' (given)' : ''}`).join(', and ')}
  </div>
  ${
    csrf === null
      ? ''
      : html`<form>
          <input type="hidden" name="csrf" value="${csrf}" />
          <div class="actions">
            <button class="primary" type="button" value="accept" data-post="/console/widenings/${widening.id}/accept">Accept</button>
            <button class="danger" type="button" value="decline" data-post="/console/widenings/${widening.id}/decline">Decline</button>
          </div>
        </form>`
  }
</li>`

/** `csrf` null: this person sees it and does not decide it. */
export function requestFragment(
  request: DescribedRequest,
  may: { readonly approve: boolean; readonly deny: boolean },
  csrf: string,
): Html {
  const isOpen = request.status === 'pending'
  return html`<article class="card">
    <h1>${isOpen ? 'An agent asks for access' : `This request was ${request.status}`}</h1>
    <p class="quiet">The agent and its notification show the same words. If yours differ, deny.</p>
    <p class="words">${request.words}</p>
    <dl>
      <dt>Agent</dt>
      <dd><strong>${safeText(request.agent)}</strong>${request.purpose === null ? '' : html`<br /><span class="quiet">${safeText(request.purpose, 300)}</span>`}</dd>
      <dt>Tool</dt>
      <dd>${safeText(request.tool)}</dd>
      <dt>Within</dt>
      <dd>${detailsOf(request.details)}</dd>
      <dt>For</dt>
      <dd>${formatDuration(request.durationSeconds)}</dd>
      <dt>Owned by</dt>
      <dd>${people(request.owners)}</dd>
      <dt>${isOpen ? 'Expires' : 'Expired by'}</dt>
      <dd>${timeOf(request.expiresAt)}${isOpen ? html` <span class="quiet">(then it means no)</span>` : ''}</dd>
    </dl>
    <h2>Its reason, in its own words</h2>
    <blockquote>${safeText(request.reason, 1000)}</blockquote>
    ${isOpen && (may.approve || may.deny) ? decisionForm(request, may, csrf) : scopeList(request)}
    ${isOpen && !may.approve && !may.deny ? html`<p class="notice">It is not yours to decide.</p>` : ''}
    <p><a data-view href="/">All that waits for you</a></p>
  </article>`
}

const scopeText = ({ name, description, risk }: DescribedRequest['scopeInfo'][number]) =>
  html`<code>${safeText(name)}</code> ${safeText(description, 300)} ${riskOf(risk)}`

const scopeList = (request: DescribedRequest) => html`<h2>What it asks for</h2>
  <ul class="rows">
    ${request.scopeInfo.map((scope) => html`<li>${scopeText(scope)}</li>`)}
  </ul>`

/** All that was asked, and less: halves of it, rounded to what reads well. */
function durations(seconds: number): readonly number[] {
  const shorter = [300, 900, 3600, 4 * 3600, 8 * 3600, 24 * 3600].filter((one) => one < seconds)
  return [seconds, ...shorter.reverse()]
}

function decisionForm(
  request: DescribedRequest,
  may: { readonly approve: boolean; readonly deny: boolean },
  csrf: string,
): Html {
  const approvable = may.approve && request.hash !== null
  return html`<form>
    <input type="hidden" name="csrf" value="${csrf}" />
    <input type="hidden" name="hash" value="${request.hash ?? ''}" />
    <fieldset ${approvable ? '' : 'disabled'}>
      <legend>What it may do</legend>
      ${request.scopeInfo.map(
        (scope, index) => html`<div class="scope">
          <input type="checkbox" id="scope-${index}" name="scope" value="${scope.name}" checked />
          <label for="scope-${index}">${scopeText(scope)}</label>
        </div>`,
      )}
      <label for="duration">For how long</label>
      <select id="duration" name="duration">
        ${durations(request.durationSeconds).map((seconds) => html`<option value="${seconds}">${formatDuration(seconds)}</option>`)}
      </select>
    </fieldset>
    ${may.approve && request.hash === null ? html`<p class="notice bad">Its manifest does not allow this any more: there is nothing left to approve.</p>` : ''}
    <label for="reason">Why not (the agent reads this)</label>
    <textarea id="reason" name="reason" rows="2" maxlength="1000" autocomplete="off"></textarea>
    <p class="fault" role="alert" data-fault></p>
    <div class="actions">
      ${approvable ? html`<button class="primary" type="button" value="approve" data-post="/console/requests/${request.id}/approve">Approve what is ticked</button>` : ''}
      ${may.deny ? html`<button class="danger" type="button" value="deny" data-post="/console/requests/${request.id}/deny">Deny</button>` : ''}
    </div>
  </form>`
}

export const doneFragment = (title: string, lines: readonly string[]): Html => html`<article class="card">
  <h1>${title}</h1>
  ${lines.map((line) => html`<p class="notice good">${line}</p>`)}
  <p><a data-view href="/">All that waits for you</a></p>
</article>`

export const problemFragment = (problem: Problem, requestId: string): Html => html`<article class="card">
  <h1>That did not work</h1>
  <p class="notice bad" role="alert">${safeText(problem.message)}</p>
  ${problem.hint === undefined ? '' : html`<p>${safeText(problem.hint)}</p>`}
  <p class="quiet">${problem.code} · ${requestId}</p>
  <p><a data-view href="/">All that waits for you</a></p>
</article>`
