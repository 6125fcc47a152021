# VST with the cross-entropy on the source kept on: networks from scratch forget the thin and rare classes, which few confident
# labels show.
_base_ = './vst.py'
vst = dict(source='{cfg:source_train}', kept=['{cfg:_source}'])
