// Receipts as a person reads them: what was taken away, and who showed for each tool and account that it is dead, when. It
// says "revoked" only where the receipt does (S15); texts of people and tools are escaped and stripped (S20).

import { html } from 'hono/html'
import type { presentRevocation } from '../../actions/revoke.ts'
import { formatDuration } from '../../core/duration.ts'
import { safeText } from '../../core/safe-text.ts'
import { type Html, timeOf } from './fragments.ts'

/** `agent`, `tool`: whose it was, where it was of one alone. */
export type PresentedReceipt = ReturnType<typeof presentRevocation> & {
  readonly agent: string | null
  readonly tool: string | null
}
type Confirmation = PresentedReceipt['confirmations'][number]
type AccountProof = NonNullable<Confirmation['accounts']>[number]

const WORDS: Readonly<Record<string, string>> = {
  revoked: 'revoked',
  revoking: 'being revoked',
  outstanding: 'outstanding',
}
const stateOf = (status: string) =>
  html`<span class="state state-${status}">${Object.hasOwn(WORDS, status) ? WORDS[status] : 'unknown'}</span>`

/** Milliseconds as a person reads them; exact below ten seconds, which is what a latency is judged by. */
const after = (milliseconds: number) =>
  milliseconds < 10_000 ? `${milliseconds} ms` : formatDuration(Math.round(milliseconds / 1000))

/** ` of bot on desk`, where the target does not say it. */
const whose = ({ target, agent, tool }: PresentedReceipt) =>
  (agent === null || target === `agent/${agent}` ? '' : ` of ${safeText(agent)}`) +
  (tool === null || target === `tool/${tool}` ? '' : ` on ${safeText(tool)}`)

const countsOf = ({ counts }: PresentedReceipt) => {
  const some = Object.entries(counts).filter(([, count]) => count > 0)
  return some.length === 0
    ? 'nothing that was alive'
    : some.map(([what, count]) => `${count} ${count === 1 ? what.replace(/s$/, '') : what}`).join(', ')
}

export function receiptsFragment(open: readonly PresentedReceipt[], complete: readonly PresentedReceipt[]): Html {
  return html`<section class="card">
      <h1>What is being taken away</h1>
      ${open.length === 0 ? html`<p class="quiet">Nothing: every tool has confirmed what was taken.</p>` : rows(open)}
      <p><a data-view href="/receipts">Look again</a></p>
    </section>
    <section class="card">
      <h2>Taken away, and confirmed</h2>
      ${complete.length === 0 ? html`<p class="quiet">Nothing yet.</p>` : rows(complete)}
      <p><a data-view href="/">All that waits for you</a></p>
    </section>`
}

const rows = (receipts: readonly PresentedReceipt[]) => html`<ul class="rows">
  ${receipts.map(
    (receipt) => html`<li>
      <a data-view href="/receipts/${receipt.id}"><strong>${safeText(receipt.target)}</strong></a> ${stateOf(receipt.status)}<br />
      ${receipt.act}${whose(receipt)}, ${timeOf(receipt.at)}
      <div class="quiet">took ${countsOf(receipt)}</div>
    </li>`,
  )}
</ul>`

export function receiptFragment(receipt: PresentedReceipt): Html {
  const isOpen = receipt.completedAt === undefined
  return html`<article class="card">
    <h1>Receipt of what was taken away</h1>
    <dl>
      <dt>Status</dt>
      <dd>${stateOf(receipt.status)}${
        receipt.completedAt === undefined
          ? ''
          : html` ${after(receipt.afterMilliseconds ?? 0)} after it was asked, ${timeOf(receipt.completedAt)}`
      }</dd>
      <dt>Taken</dt>
      <dd><strong>${safeText(receipt.target)}</strong><br />${receipt.act}${whose(receipt)}</dd>
      <dt>By</dt>
      <dd>${safeText(receipt.by)}</dd>
      <dt>At</dt>
      <dd>${timeOf(receipt.at)}</dd>
      <dt>It took</dt>
      <dd>${countsOf(receipt)}</dd>
      <dt>Receipt</dt>
      <dd><code>${receipt.id}</code></dd>
    </dl>
    ${receipt.reason === undefined ? '' : html`<h2>Why</h2><blockquote>${safeText(receipt.reason, 1000)}</blockquote>`}
    <h2>What each tool confirmed</h2>
    ${
      receipt.confirmations.length > 0
        ? html`<ul class="rows">${receipt.confirmations.map(confirmationRow)}</ul>`
        : isOpen
          ? html`<p class="quiet">What it took is still being counted.</p>`
          : html`<p class="quiet">No tool held anything of it.</p>`
    }
    ${isOpen ? html`<p><a data-view href="/receipts/${receipt.id}">Look again</a></p>` : ''}
    <p><a data-view href="/receipts">All that was taken away</a></p>
  </article>`
}

const confirmationRow = (confirmation: Confirmation) => html`<li>
  <strong>${safeText(confirmation.tool)}</strong> ${stateOf(confirmation.status)}<br />
  ${confirmation.credentials} ${confirmation.credentials === 1 ? 'credential' : 'credentials'};
  ${
    'confirmedAt' in confirmation
      ? html`${safeText(confirmation.how ?? 'confirmed')}, after ${after(confirmation.afterMilliseconds)}`
      : stillOpen(confirmation)
  }
  ${confirmation.accounts === undefined ? '' : html`<ul class="accounts">${confirmation.accounts.map(accountRow)}</ul>`}
</li>`

const stillOpen = ({ accounts, deadBy, dueBy }: Extract<Confirmation, { readonly deadBy: string }>) =>
  html`${
    // Nothing about an account is dead by itself: the tool has to show it.
    accounts === undefined ? html`dead by ${timeOf(deadBy)} at the latest` : 'tried again until the tool shows it dead'
  }; due by ${timeOf(dueBy)}`

function accountRow(proof: AccountProof): Html {
  const { removedAfterMilliseconds: removed, readBackAfterMilliseconds: readBack } = proof
  const { probedDeadAfterMilliseconds: probed, lastFailure } = proof
  const isGone = proof.status === 'gone'
  const step = (name: string, milliseconds: number | null, otherwise: string) =>
    html`<dt>${name}</dt><dd>${milliseconds === null ? otherwise : `after ${after(milliseconds)}`}</dd>`
  return html`<li>
    <code>${safeText(proof.name)}</code> ${isGone ? '' : 'is still there'}
    <dl>
      ${step('Removed', removed, isGone ? 'it was never made' : 'not yet')}
      ${step('Read back', readBack, 'not yet')}
      ${step('Probed dead', probed, isGone ? 'nothing to probe it with' : 'not yet')}
    </dl>
    ${lastFailure === undefined ? '' : html`<div class="fault">Last failure: ${safeText(lastFailure, 300)}</div>`}
  </li>`
}
