"""The defences of docs/threats.md: where each stands, how it is broken, which test notices."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Defence:
    """A defence, how it is broken, and the test that notices.

    Attributes:
        name: As docs/threats.md calls it.
        file: Where it stands.
        whole: The line or lines that defend.
        broken: What they are replaced by.
        test: Test id; part of one with a parameter is enough.
    """

    name: str
    file: str
    whole: str
    broken: str
    test: str


FUZZING, VERIFY = "tests/flows/test_fuzzing.py", "tests/compliance/verification/test_verify.py"
LEDGER, CHECKPOINT = (
    "tests/compliance/ledger/test_ledger.py",
    "tests/compliance/ledger/test_checkpoint.py",
)
VERDICT = "tests/compliance/verdict/test_verdict.py"
FOREIGN = "tests/flows/models/test_third_party.py"
GIANTS = "test_a_configuration_of_a_giant_or_of_other_types_is_refused_before_memory_is_taken"
HOSTILE, CHILDREN = "tests/flows/test_hostile_folders.py", "tests/flows/state/test_children.py"
GUARD, GUARD_TEST = "flows/servers/guard.py", "tests/flows/servers/test_guard.py"
KEPT = "tests/flows/state/test_prefect_files.py"
OTHER_METHODS = "tests/flows/models/test_other_methods.py"
NETWORKS = "tests/flows/models/test_users_networks.py"
ISOLATED = "tests/flows/servers/test_isolated.py"
PURGE, DESK = "tests/flows/operations/test_purge.py", "tests/flows/intake/test_lifecycle.py"
KILLS = "tests/flows/orchestration/test_kills.py"
GATE_LEDGER = "tests/flows/registry/test_gate_ledger.py"
WRONG_USE = "tests/compliance/qualification/test_wrong_use.py"
STANDING = "tests/compliance/qualification/test_standing.py"
QUALIFY = "tests/flows/qualification/test_qualify.py"

DEFENCES = (
    # foreign files
    Defence(
        "a pickle is refused by its first bytes",
        "flows/models/weights.py",
        'if 0 < length <= min(size - 8, HEADER_LIMIT) and start[8:9] == b"{":',
        "if True:",
        f"{FUZZING}::test_every_crafted_kind_of_model_is_refused",
    ),
    Defence(
        "a model file is a file",
        "flows/models/weights.py",
        "if not stat.S_ISREG(status.st_mode):",
        "if False:",
        f"{FUZZING}::test_every_crafted_kind_of_model_is_refused",
    ),
    Defence(
        "a header means one thing",
        "flows/models/weights.py",
        "        _refuse_two_meanings(path, length)\n",
        "",
        f"{FUZZING}::test_every_crafted_kind_of_model_is_refused",
    ),
    Defence(
        "weights are finite",
        "flows/models/weights.py",
        "    if infinite:",
        "    if False:",
        f"{FUZZING}::test_every_crafted_kind_of_model_is_refused",
    ),
    Defence(
        "a network holds what its file says",
        "flows/models/weights.py",
        '    held_tensors.require(network, state, what=f"{architecture} with {path}")\n',
        "",
        f"{NETWORKS}::test_a_class_that_does_not_hold_what_the_file_says_is_refused",
    ),
    Defence(
        "a network that is used stays as it was",
        "flows/models/held_tensors.py",
        "    if digest(network) != before:",
        "    if False:",
        f"{NETWORKS}::test_a_network_that_changes_itself_while_it_is_used_is_refused",
    ),
    Defence(
        "a module that ends the process is refused",
        "flows/state/users_calls.py",
        "    except SystemExit as end:",
        "    except ZeroDivisionError as end:",
        f"{NETWORKS}::test_a_data_set_that_ends_the_process_is_refused",
    ),
    Defence(
        "a team's method is what it was when its attempt began",
        "flows/models/other_methods.py",
        "    if team.sha256 != code:",
        "    if False:",
        f"{OTHER_METHODS}::test_a_method_whose_source_has_changed_is_not_run",
    ),
    # code of the other side
    Defence(
        "code runs only where its module was allowed",
        "flows/state/others_code.py",
        "    if missing := [name for name in named if name not in allow]:",
        "    if missing := [name for name in named if not name]:",
        f"{ISOLATED}::test_a_module_is_refused_with_its_file_unless_it_was_allowed",
    ),
    Defence(
        "what was allowed is the file that was read",
        "flows/state/others_code.py",
        "        if digest_file(file) != digest:",
        "        if False:",
        f"{ISOLATED}::test_a_module_that_has_changed_since_it_was_allowed_does_not_run",
    ),
    Defence(
        "bytecode does not stand in for its source",
        "flows/state/code_files.py",
        "            raise FileNotFoundError(path)",
        "            return",
        f"{ISOLATED}::test_bytecode_of_what_is_imported_late_is_not_what_runs",
    ),
    Defence(
        "what allowed code imports is written down",
        "flows/state/code_files.py",
        'os.write(self._record, f"{line}\\n".encode())',
        "pass",
        f"{ISOLATED}::test_what_it_imports_from_beside_it_is_written_down",
    ),
    Defence(
        "files that were read as code must be unchanged",
        "flows/servers/isolated.py",
        "    code_files.require(job.read)\n",
        "",
        f"{ISOLATED}::test_what_was_read_before_must_be_unchanged_before_anything_runs",
    ),
    Defence(
        "what may run is what the ledger received",
        "flows/state/others_code.py",
        'if entry is not None and entry.body.get("code", {}) != pinned:',
        "if False:",
        "tests/flows/state/test_others_code.py"
        "::test_code_that_takes_itself_off_the_record_does_not_run_beside_the_key",
    ),
    Defence(
        "allowed code changes no settings, trust or events",
        "flows/servers/isolated.py",
        '*(_mounted(path, "ro") for path in (home, job.home.trust) if path.exists()),',
        "",
        f"{ISOLATED}::test_what_decides_and_what_is_started_is_out_of_its_reach",
    ),
    Defence(
        "a kept result says not how it is read",
        "flows/state/prefect_files.py",
        "        owner.loads = reader",
        "        pass",
        f"{KEPT}::test_a_kept_result_runs_no_code",
    ),
    Defence(
        "code of others gets no secrets and no addresses",
        "flows/servers/isolated.py",
        "kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}",
        "kept = dict(os.environ)",
        f"{ISOLATED}::test_it_sees_no_key_no_passphrase_and_no_address",
    ),
    Defence(
        "links that multiply are refused",
        "flows/data/image_layout.py",
        "if visits[real] > VISITS:",
        "if visits[real] > VISITS**9:",
        "tests/flows/data/test_image_folder.py::test_links_that_multiply_are_refused_at_once",
    ),
    Defence(
        "links and devices in a tar shard are refused",
        "flows/data/packed/tar_shards.py",
        "elif header.type not in (tarfile.DIRTYPE, tarfile.XGLTYPE):",
        "elif False:",
        "tests/flows/data/test_packed.py::test_links_and_devices_are_refused",
    ),
    Defence(
        "a tar shard's sizes stay inside the file",
        "flows/data/packed/tar_shards.py",
        "if size < 0 or start + size > whole:",
        "if False:",
        "tests/flows/data/test_packed.py::test_a_negative_size_leads_nowhere",
    ),
    Defence(
        "cells that name files in place of bytes are refused",
        "flows/data/packed/hf_shards.py",
        "if lacking := lacking or column.null_count:",
        "if lacking := 0:",
        "tests/flows/data/test_packed.py::test_cells_that_hold_something_else_are_refused",
    ),
    Defence(
        "only listed kinds of pictures are opened",
        "flows/data/pictures.py",
        'FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM")',
        "FORMATS = None",
        "tests/flows/models/test_third_party_files.py::"
        "test_postscript_named_as_a_picture_starts_no_ghostscript",
    ),
    Defence(
        "a configuration asks for no giant",
        "flows/models/third_party.py",
        "        if number > (DEEPEST if deep else LARGEST_NUMBER):",
        "        if False:",
        f"{FOREIGN}::{GIANTS}",
    ),
    Defence(
        "parameters are counted before memory is taken",
        "flows/models/third_party.py",
        "        if size > PARAMETERS:",
        "        if False:",
        f"{FOREIGN}::{GIANTS}",
    ),
    # the statement
    Defence(
        "a signature is verified",
        "compliance/signing/envelope.py",
        "        opened.envelope.verify([public], 1)\n",
        "        pass\n",
        f"{VERIFY}::test_a_signature_of_another_statement_is_1",
    ),
    Defence(
        "equal keys are refused",
        "compliance/formats/strict_json.py",
        "    if len(content) < len(pairs):",
        "    if False:",
        f"{VERIFY}::test_signed_bytes_that_are_no_proper_statement_are_1",
    ),
    Defence(
        "base64 has one form",
        "compliance/signing/envelope.py",
        "    if base64.b64encode(raw).decode() != text:",
        "    if False:",
        "tests/compliance/signing/test_envelope.py",
    ),
    Defence(
        "a statement is in canonical form",
        "compliance/verification/verify.py",
        "    problems = [] if strict_json.canonical(content) == payload else [NOT_CANONICAL]",
        "    problems = []",
        f"{VERIFY}::test_signed_bytes_that_are_no_proper_statement_are_1",
    ),
    Defence(
        "the schema is closed",
        "compliance/verification/verify.py",
        "    if malformed := statement.schema_problems(content):",
        "    if malformed := []:",
        f"{VERIFY}::test_signed_bytes_that_are_no_proper_statement_are_1",
    ),
    Defence(
        "a PASSED that contradicts itself is refused",
        "compliance/signing/statement.py",
        '    if verdict.result == "PASSED":\n        yield from _unfounded(predicate)',
        "    return",
        f"{VERIFY}::test_a_signed_pass_that_contradicts_itself_is_1",
    ),
    Defence(
        "the model must be the one after",
        "compliance/verification/verify.py",
        "    if actual == facts.model_after:",
        "    if True:",
        f"{VERIFY}::test_the_model_must_be_the_one_after",
    ),
    Defence(
        "a key counts in its time",
        "compliance/verification/verify.py",
        "        if not key.covers(finished) and not late:",
        "        if False:",
        f"{VERIFY}::test_a_key_that_was_not_valid_then_is_1",
    ),
    Defence(
        "a key counts in its role",
        "compliance/verification/verify.py",
        "        if role not in held:",
        "        if False:",
        f"{VERIFY}::test_the_wrong_role_is_1",
    ),
    Defence(
        "a demo key cannot hide",
        "compliance/verification/verify.py",
        "        if one.demo and not predicate.demo_key:",
        "        if False:",
        f"{VERIFY}::test_a_demo_key_that_hides_is_1",
    ),
    Defence(
        "an id belongs to its key",
        "compliance/signing/trust.py",
        "    if own != keyid:",
        "    if False:",
        "tests/compliance/signing/test_envelope.py",
    ),
    Defence(
        "a private key is its owner's alone",
        "compliance/signing/keys.py",
        "        if path.stat().st_mode & 0o077:",
        "        if False:",
        "tests/compliance/signing/test_envelope.py",
    ),
    # the ledger
    Defence(
        "an entry's hash is computed anew",
        "compliance/ledger/chain.py",
        "    if entry.hash != own:",
        "    if False:",
        f"{LEDGER}::test_an_edited_entry_is_found",
    ),
    Defence(
        "an entry follows the one before",
        "compliance/ledger/chain.py",
        "    if entry.previous != previous:",
        "    if False:",
        f"{LEDGER}::test_an_entry_sealed_anew_is_found_at_the_next",
    ),
    Defence(
        "a checkpoint sees a cut tail",
        "compliance/verification/against_ledger.py",
        "    elif held.size > len(lines):",
        "    elif False:",
        f"{VERIFY}::test_a_ledger_must_continue_the_checkpoint",
    ),
    Defence(
        "a checkpoint sees a ledger written anew",
        "compliance/verification/against_ledger.py",
        "    elif merkle.root(map(merkle.leaf_hash, lines[: held.size])) != held.root:",
        "    elif False:",
        f"{CHECKPOINT}::test_a_ledger_sealed_anew_from_some_entry_on_is_found_by_its_root",
    ),
    Defence(
        "two ledgers with one name are found out",
        "compliance/ledger/merkle.py",
        "    return last == 0 and first == old_root and second == new_root",
        "    return True",
        f"{CHECKPOINT}::test_two_ledgers_with_one_name_are_found_out",
    ),
    Defence(
        "a ledger restored from an older copy is not signed",
        "flows/records/checkpoints.py",
        "        _refuse_a_fork(home, lines, entries)\n",
        "",
        "tests/flows/cli/test_ledger.py::"
        "test_a_ledger_restored_from_an_older_copy_is_not_signed_again",
    ),
    Defence(
        "a torn line is removed and logged",
        "compliance/ledger/ledger.py",
        '                self._add(descriptor, REPAIRED, "", "", gone)',
        "                pass",
        f"{LEDGER}::test_a_line_cut_short_is_removed_and_logged",
    ),
    Defence(
        "one writer at a time",
        "compliance/ledger/append_file.py",
        "        fcntl.flock(lock, fcntl.LOCK_EX)\n",
        "",
        f"{LEDGER}::test_four_writers_at_once_make_one_chain",
    ),
    Defence(
        "an earlier attempt cannot be left out",
        "compliance/verification/against_ledger.py",
        "    if entered != listed:",
        "    if False:",
        f"{VERIFY}::test_a_ledger_that_says_otherwise_is_1",
    ),
    # requests
    Defence(
        "the same entry again has no second effect",
        "compliance/ledger/ledger.py",
        "            if earlier is None:",
        "            if True:",
        f"{LEDGER}::test_the_same_entry_again_has_no_second_effect",
    ),
    Defence(
        "a step that the state does not allow is refused",
        "compliance/ledger/states.py",
        "    if late or (target is not event.state and target not in _allowed(event, kind)):",
        "    if False:",
        f"{DESK}::test_a_decided_request_cannot_be_denied_any_more",
    ),
    Defence(
        "nothing runs before a required identity is verified",
        "compliance/ledger/states.py",
        '        if self.identity == "required" and not self.verified_by:',
        "        if False:",
        f"{DESK}::test_nothing_runs_before_a_required_identity_is_verified",
    ),
    Defence(
        "a running event is left to its run",
        "flows/intake/lifecycle.py",
        "    with locks.lineage(home, requests.lineage_of(home, whose)):\n",
        "    if True:\n",
        f"{DESK}::test_a_running_event_is_not_taken_from_under_its_run",
    ),
    Defence(
        "a clock that went back warns of nothing twice",
        "flows/intake/lifecycle.py",
        '(event.id, f"day-{day}") in warned',
        "False",
        f"{DESK}::test_each_warning_day_is_logged_once",
    ),
    Defence(
        "a sign-off is over the same bytes",
        "compliance/signing/envelope.py",
        "    if (opened.payload, opened.payload_type) != (more.payload, more.payload_type):",
        "    if False:",
        f"{DESK}::test_a_copy_of_another_statement_or_without_the_signature_is_refused",
    ),
    Defence(
        "what does not hold is not signed",
        "flows/intake/signoff.py",
        "    if verification.exit_code not in (VALID_AND_PASSED, NOT_PASSED):",
        "    if False:",
        f"{DESK}::test_a_statement_that_does_not_hold_is_not_signed",
    ),
    Defence(
        "a callback goes only below a listed address",
        "compliance/formats/callback_urls.py",
        "    return same and (address.path == root",
        "    return True or (address.path == root",
        "tests/compliance/formats/test_callback_urls.py::test_what_only_looks_like_it_is_not",
    ),
    Defence(
        "a callback follows no redirect",
        "flows/intake/webhooks.py",
        "urllib.request.build_opener(_NoRedirect)",
        "urllib.request.build_opener()",
        "tests/flows/intake/test_webhooks.py::test_what_was_not_taken_is_sent_again_and_holds_nothing_up",
    ),
    # what still holds data
    Defence(
        "nothing outside the state folder is deleted",
        "flows/records/same_weights.py",
        "if not path.is_symlink() and path.is_file())",
        "if path.is_file())",
        f"{PURGE}::test_nothing_outside_the_state_folder_is_ever_deleted",
    ),
    Defence(
        "nothing is deleted while somebody needs it",
        "flows/operations/purge.py",
        "    if needing:",
        "    if False:",
        f"{PURGE}::test_while_an_open_event_needs_the_rows_nothing_is_deleted",
    ),
    Defence(
        "a purge that was killed is finished",
        "flows/operations/purge.py",
        'if last and last.kind == "purge_started" else []',
        "if False else []",
        f"{PURGE}::test_a_purge_that_was_killed_is_finished",
    ),
    # the report
    Defence(
        "everything in a page is escaped",
        "compliance/report/templates.py",
        "    environment = _environment(autoescape=True)",
        "    environment = _environment(autoescape=False)",
        "tests/compliance/report/test_render.py::test_hostile_text_stays_text_wherever_it_stands",
    ),
    Defence(
        "a page may run and load nothing",
        "compliance/templates/base.html",
        "default-src 'none'; ",
        "",
        "tests/compliance/report/test_in_browser.py::"
        "test_the_policy_stops_what_escaping_would_miss",
    ),
    Defence(
        "invisible signs are spelled out",
        "compliance/formats/plain_text.py",
        "    if type(value) is not str:",
        "    if True:",
        "tests/compliance/report/test_render.py::test_invisible_and_turning_signs_are_spelled_out",
    ),
    Defence(
        "no report is made of what was changed",
        "flows/records/reports.py",
        "    _refuse_unknown(attempt, entries, opened.digest)\n",
        "",
        "tests/flows/records/test_reports.py::test_of_a_changed_statement_or_findings_no_report_is_made",
    ),
    Defence(
        "text in Markdown means only itself",
        "compliance/formats/plain_text.py",
        '    escaped = re.sub(r"([\\\\`*_\\[\\]#|~$@])", r"\\\\\\1", one_line(value))',
        "    escaped = one_line(value)",
        "tests/compliance/report/test_markdown.py::test_hostile_text_means_only_itself",
    ),
    Defence(
        "a link of the index is a path below it",
        "compliance/report/index.py",
        'return None if path is None else f"./{quote(path)}"',
        "return path",
        "tests/compliance/report/test_in_browser.py::test_a_link_of_the_index_is_a_path_below_it",
    ),
    Defence(
        "the index leads nowhere else",
        "flows/records/event_index.py",
        "if not path.is_file() or not path.resolve().is_relative_to(home.root.resolve()):",
        "if not path.is_file():",
        "tests/flows/records/test_reports.py::test_the_index_leads_nowhere_else",
    ),
    # events and the registry
    Defence(
        "one event at a time on a model",
        "flows/state/locks.py",
        '    with _file(home, file, busy), _across_machines(f"lineage {name}", busy):\n',
        "    if True:\n",
        "tests/flows/state/test_locks.py::test_a_second_process_is_told_that_the_model_is_busy",
    ),
    Defence(
        "a file is written aside",
        "flows/state/files.py",
        'temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")',
        "temporary = path; path.unlink(missing_ok=True)",
        "tests/flows/state/test_files.py::test_a_process_killed_while_it_writes_leaves_the_old_file",
    ),
    Defence(
        "what is registered is found again",
        "flows/registry/mlflow_registry.py",
        "        if version is None:\n            version = self._create",
        "        if True:\n            version = self._create",
        "tests/flows/registry/test_registration.py::test_a_second_call_finds_the_first",
    ),
    Defence(
        "a version with problems is not promoted",
        "flows/operations/promote.py",
        "        if problems:\n",
        "        if False:\n",
        "tests/flows/registry/test_gate.py::test_a_way_round_the_gate_is_named_and_leads_nowhere",
    ),
    Defence(
        "an alias that somebody else has moved meanwhile stays",
        "flows/registry/resolve.py",
        "    if now != expected:\n",
        "    if False:\n",
        "tests/flows/registry/test_gate.py::test_an_alias_that_is_moved_during_the_checks_stays",
    ),
    Defence(
        "old weights are known by their tensors once their last copy was purged",
        "flows/registry/old_weights.py",
        "        if self.tensors and digest_of_tensors(file) in self.tensors:\n",
        "        if False:\n",
        "tests/flows/registry/test_gate.py::test_old_weights_are_recognised_after_the_last_copy_of_them_was_purged",
    ),
    Defence(
        "a promotion is of all files of a version",
        "flows/registry/gate_files.py",
        "    if promotion.files is not None and promotion.files != manifest(files):\n",
        "    if False:\n",
        "tests/flows/registry/test_gate.py::test_a_file_of_the_right_form_that_changed_since_is_named",
    ),
    Defence(
        "only a signed re-audit takes back one that failed",
        "flows/registry/reaudits.py",
        "        elif failure is not None and _is_signed(entry, failure, entries, trust):\n",
        "        elif failure is not None:\n",
        "tests/flows/registry/test_gate.py::test_only_a_signed_reaudit_takes_back_one_that_did_not_pass",
    ),
    Defence(
        "a time stamp counts below a trusted root, over these very bytes",
        "compliance/signing/time_stamp.py",
        "        verifier.verify_message(response, payload)\n",
        "        pass\n",
        "tests/compliance/signing/test_time_stamp.py::test_an_authority_below_no_trusted_root_counts_for_nothing",
    ),
    Defence(
        "what no model can pass waits for --go-on",
        "flows/intake/forecasts.py",
        "    if foreseen.hopeless:\n",
        "    if False:\n",
        "tests/flows/intake/test_forecasts.py::test_sizes_that_rule_a_pass_out_are_said_and_refused",
    ),
    # the verdict
    Defence(
        "the plan stands in the ledger first",
        "compliance/verification/against_ledger.py",
        "    yield from _plan(entries, predicate)\n",
        "",
        f"{VERIFY}::test_a_ledger_that_says_otherwise_is_1",
    ),
    Defence(
        "a replay follows the pinned plan",
        "flows/operations/replay.py",
        "    if strict_json.digest(plan) != wanted:",
        "    if False:",
        f"{FUZZING}::test_mutated_documents_are_refused_or_mean_what_they_say",
    ),
    Defence(
        "a control that came out wrong decides nothing",
        "compliance/verdict/controls.py",
        "        if not control.as_expected:",
        "        if False:",
        f"{VERDICT}::test_a_model_that_must_fail_and_passes_decides_nothing",
    ),
    Defence(
        "a missing control decides nothing",
        "compliance/verdict/controls.py",
        "    if absent:",
        "    if False:",
        f"{VERDICT}::test_a_missing_control_decides_nothing",
    ),
    Defence(
        "outputs alone never pass",
        "compliance/verdict/blockers.py",
        '    if policy.assurance == "L1":\n        yield L1_IS_OUTPUTS\n    elif',
        "    if",
        f"{VERDICT}::test_outputs_alone_never_pass_a_class_erasure",
    ),
    Defence(
        "an unknown copy caps the verdict",
        "compliance/verdict/blockers.py",
        '    if policy.unknown_artefacts == "inconclusive":',
        "    if False:",
        f"{VERDICT}::test_unknown_copies_cap_the_verdict_where_the_policy_says_so",
    ),
    # clocks, races, words, unsigned entries
    Defence(
        "the law's date is never later",
        "compliance/documents/clock_rules.py",
        "    return by_law if days == rule.written else min(own, by_law)",
        "    return own",
        "tests/compliance/documents/test_clock_rules.py::test_one_month_is_a_calendar_month",
    ),
    Defence(
        "the trust file is changed under a lock",
        "compliance/signing/trust.py",
        "        with files.locked(path):",
        "        if True:",
        f"{KILLS}::test_of_many_processes_at_once_no_key_and_no_request_is_lost",
    ),
    Defence(
        "weights and keys are their owner's alone",
        "flows/state/files.py",
        "        mode = files.PRIVATE if path.suffix in SECRET else files.OPEN",
        "        mode = files.OPEN",
        "tests/flows/state/test_files.py::"
        "test_the_umask_decides_and_weights_and_keys_are_their_owners_alone",
    ),
    Defence(
        "a callback has a deadline",
        "flows/intake/webhooks.py",
        "        return status.result(timeout=SECONDS)",
        "        return status.result()",
        "tests/flows/intake/test_webhooks.py::test_an_answer_of_one_byte_at_a_time_has_a_deadline",
    ),
    Defence(
        "what a terminal obeys is spelled out",
        "compliance/formats/plain_text.py",
        "    if text.isprintable():",
        "    if True:",
        "tests/flows/cli/test_console.py::test_nothing_from_elsewhere_reaches_the_terminal_raw",
    ),
    Defence(
        "a re-audit's pass is signed by an executor",
        "compliance/ledger/reaudits.py",
        "        one.role == ROLE and one.holds and trust.keys[one.keyid].covers(time)",
        "        one.holds",
        f"{GATE_LEDGER}::test_an_appended_pass_hides_nothing",
    ),
    Defence(
        "the plan that a statement names counts",
        "flows/registry/gate_ledger.py",
        "        plan = next((plan for plan in self.plans if plan.digest == plan_digest), None)",
        "        plan = next(reversed(self.plans), None)",
        f"{GATE_LEDGER}::test_a_second_plan_chooses_no_other_roles",
    ),
    Defence(
        "an attempt is decided once",
        "compliance/ledger/states.py",
        "    if kind in ONCE and 0 < change.attempt <= event.decided:",
        "    if False:",
        f"{GATE_LEDGER}::test_a_second_statement_of_an_attempt_is_a_problem_and_changes_nothing",
    ),
    # strangers: folders, pages, users of the machine
    Defence(
        "the caller's folder leaves the path",
        "flows/__main__.py",
        "    del sys.path[0]  # Python has put the working folder there",
        "    pass",
        f"{HOSTILE}::test_commands_in_a_folder_of_all_kinds_run_nothing",
    ),
    Defence(
        "a path of Python's that means the folder is taken off",
        "flows/__main__.py",
        "if entry == HERE or entry not in _MEANT",
        "if True",
        f"{HOSTILE}::test_a_path_of_pythons_that_means_the_folder_runs_nothing",
    ),
    Defence(
        "Prefect reads no settings of the folder",
        "flows/state/settings.py",
        "    prefect_files.ignore_those_of_the_folder()\n",
        "",
        f"{HOSTILE}::test_prefect_reads_no_settings_of_the_folder",
    ),
    Defence(
        "git runs nothing that a folder names",
        "flows/state/children.py",
        '    options = [part for each in own for part in ("-c", each)]',
        "    options: list[str] = []",
        f"{CHILDREN}::test_git_runs_nothing_that_a_folder_names",
    ),
    Defence(
        "a user's code comes from the folder that was named",
        "flows/state/users_code.py",
        "    if place is None:\n",
        "    sys.path.append(os.getcwd())\n    if place is None:\n",
        f"{CHILDREN}::test_the_working_folder_is_not_searched",
    ),
    Defence(
        "a user's package takes no name of ours",
        "flows/state/users_code.py",
        "            self._taken[first] = elsewhere is not None and not _is_same(there, elsewhere)",
        "            self._taken[first] = False",
        f"{CHILDREN}::test_a_project_may_have_a_package_of_any_name",
    ),
    Defence(
        "a child's environment holds no secret",
        "flows/state/children.py",
        "        if name in EVERYWHERE or (name.startswith(wanted) and not is_secret(name))",
        "        if True",
        f"{CHILDREN}::test_a_childs_environment_has_what_it_needs_and_no_secret",
    ),
    Defence(
        "secrets leave the environment",
        "flows/state/secrets.py",
        "        environ.pop(name, None)",
        "        pass",
        f"{CHILDREN}::test_secrets_leave_the_environment_and_are_read_by_damp_alone",
    ),
    Defence(
        "a password in an address is not shown",
        "flows/state/secrets.py",
        '    shown = re.sub(r"(\\w://[^\\s/:@]*):[^\\s/]*@", r"\\1:***@", text)',
        "    shown = text",
        f"{CHILDREN}::test_no_password_of_an_address_is_shown",
    ),
    Defence(
        "a server asks for its password",
        GUARD,
        "        if len(given) != 1 or not hmac.compare_digest(given[0], self._authorization):",
        "        if False:",
        f"{GUARD_TEST}::test_the_guard_lets_through_what_may_pass",
    ),
    Defence(
        "a server answers to its own name",
        GUARD,
        "        if len(hosts) != 1 or hosts[0] not in self._hosts:",
        "        if False:",
        f"{GUARD_TEST}::test_the_guard_lets_through_what_may_pass",
    ),
    Defence(
        "a page of another origin is refused",
        GUARD,
        "        if not origins <= self._origins:",
        "        if False:",
        f"{GUARD_TEST}::test_the_guard_lets_through_what_may_pass",
    ),
    Defence(
        "another site may only link",
        GUARD,
        "        if not origins and _is_cross_site(scope, headers):",
        "        if False:",
        f"{GUARD_TEST}::test_the_guard_lets_through_what_may_pass",
    ),
    Defence(
        "a server's password is its owner's alone",
        "flows/servers/auth.py",
        "        if path.stat().st_mode & 0o077:",
        "        if False:",
        f"{GUARD_TEST}::test_a_password_that_others_know_or_that_is_none_is_refused",
    ),
    Defence(
        "Prefect's API asks for the password",
        "flows/servers/guarded.py",
        '        "PREFECT_SERVER_API_AUTH_STRING": auth,\n',
        "",
        f"{GUARD_TEST}::test_who_may_not_ask_reads_and_changes_nothing",
    ),
    Defence(
        "this machine is not reached through a proxy",
        "flows/servers/processes.py",
        "build_opener(*([urllib.request.ProxyHandler({})] if here else []))",
        "build_opener()",
        "tests/flows/servers/test_servers.py::test_this_machine_is_fetched_from_past_a_proxy",
    ),
    Defence(
        "a state folder is no address",
        "flows/state/settings.py",
        "    if wrong:",
        "    if False:",
        "tests/flows/state/test_settings.py::"
        "test_a_state_folder_whose_path_means_something_else_as_an_address_is_refused",
    ),
    # qualifications
    Defence(
        "a study's outcome is computed again",
        "compliance/qualification/qualification.py",
        "if not _same(typed.plain(again), typed.plain(content.outcome)):",
        "if False:",
        f"{WRONG_USE}::test_a_wrong_use_is_not_accepted",
    ),
    Defence(
        "classes are those that the ledger's hash draws",
        "compliance/qualification/qualification.py",
        "if tuple(each.label for each in singles) != drawn:",
        "if False:",
        f"{WRONG_USE}::test_a_wrong_use_is_not_accepted",
    ),
    Defence(
        "an event's family is its qualification's",
        "compliance/verification/qualified.py",
        'for difference in family.differences(content.family, own, but=("model", "data")):',
        "for difference in ():",
        f"{WRONG_USE}::test_a_wrong_use_is_not_accepted",
    ),
    Defence(
        "an event's class lies inside what was studied",
        "compliance/verification/qualified.py",
        "for why in qualification.outside(content, facts):",
        "for why in ():",
        f"{WRONG_USE}::test_a_wrong_use_is_not_accepted",
    ),
    Defence(
        "what is kept is computed from the rows",
        "compliance/verification/qualified.py",
        "if basis.kept is None or abs(share - basis.kept) > TOLERANCE:",
        "if False:",
        f"{WRONG_USE}::test_a_wrong_use_is_not_accepted",
    ),
    Defence(
        "a suspended qualification covers nothing later",
        "compliance/verification/qualified.py",
        "if end is not None and parse_utc(end.time) <= finished:",
        "if False:",
        f"{WRONG_USE}::test_a_wrong_use_is_not_accepted",
    ),
    Defence(
        "a model before comes from the qualified one",
        "compliance/verification/qualified.py",
        "if edits != basis.edits or edits is None:",
        "if False:",
        f"{WRONG_USE}::test_a_wrong_use_is_not_accepted",
    ),
    Defence(
        "a spot check that passed counts only signed",
        "compliance/qualification/standing.py",
        'if entry.body.get("verdict") == "PASSED" and not holds(entry, entries, trust):',
        "if False:",
        f"{STANDING}::test_a_good_check_counts_only_where_a_trusted_executor_has_signed_it",
    ),
    Defence(
        "cuts that did not qualify are not silently tried again",
        "flows/qualification/study_ledger.py",
        'elif end.body.get("result") != QUALIFIED and not again:',
        "elif False:",
        f"{QUALIFY}::test_a_study_that_did_not_qualify_is_entered_and_not_silently_run_again",
    ),
)
