# SPDX-License-Identifier: Apache-2.0
"""The tool that explains campaigns: what it prints, where it writes, how it fails."""

import pytest
from toy_campaign import baseline, toy_campaign


@pytest.fixture(scope='module')
def main(load_tool):
    return load_tool('active/campaign.py').main


def test_it_prints_a_row_a_campaign_and_where_the_page_is(main, tmp_path, capsys):
    runs = [toy_campaign(tmp_path / 'ppl'), toy_campaign(tmp_path / 'spl', 'spl_toy'),
            baseline(tmp_path / 'sup', 'supervised_toy', 40.0)]
    assert main([*map(str, runs), '--next', '0']) == 0
    out, err = capsys.readouterr()
    # 32, 48 and 8 of 88 pixels over four classes.
    assert [line.split() for line in out.splitlines()[2:4]] == [
        [name, '2', '5', 'min', '30', 's', '16', '92', '0.661', '36.00'] for name in ('ppl', 'spl')]
    assert f'page: {tmp_path / "ppl" / "campaign" / "index.html"}' in out and err == ''
    assert 'full labelling' in (tmp_path / 'ppl' / 'campaign' / 'index.html').read_text(encoding='utf-8')


def test_models_that_are_missing_are_a_warning(main, tmp_path, capsys):
    run = toy_campaign(tmp_path / 'run')
    assert main([str(run), '--out', str(tmp_path / 'page')]) == 0
    out, err = capsys.readouterr()
    assert err.startswith('warning: ppl_toy: no next questions') and 'config.py does not exist' in err
    assert (tmp_path / 'page' / 'index.html').is_file() and not (run / 'campaign').exists()


@pytest.mark.parametrize('break_, message', [
    (lambda run: (run / 'results.json').unlink(), 'results.json does not exist'),
    (lambda run: (run / 'ledger.sqlite').unlink(), 'ledger.sqlite; expected'),
    (lambda run: (run / 'ledger.sqlite').write_bytes(b'no database at all'), 'cannot be opened as a label ledger')])
def test_what_cannot_be_read_is_an_error_in_words(main, tmp_path, capsys, break_, message):
    run = toy_campaign(tmp_path / 'run')
    break_(run)
    assert main([str(run)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith('error: ') and message in err and out == ''
