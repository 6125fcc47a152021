# VST with the losses of VAT kept on: networks from scratch forget the thin and rare classes, which few confident labels show.
_base_ = './vst.py'
vst = dict(source='{cfg:source_train}', kept='{cfg:vat.objectives}')
