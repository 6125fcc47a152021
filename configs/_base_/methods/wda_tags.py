# WDA with image tags of people (Paul et al., ECCV 2020): which classes are in the image? One round, every image.
_base_ = ['./active.py', './wda.py']
wda = dict(tags='{work_dir}/tags.json', classification_weight=0.2)
wda_with_source = dict(source='{cfg:source_train}', objectives='{cfg:wda.objectives}')
labor = dict(
    main='{cfg:wda_with_source}',
    selector=dict(_delete_=True, type='ImageQuestionSelector', kind='tags'),
    budget=None,  # None: every image is asked
    rounds=1)
_labelling_hook = dict(tag_file='{work_dir}/tags.json')
stages = [{{_base_._source_stage}}, {{_base_._warmup_stage}}, dict(name='round', repeat=1, steps=[{{_base_._main_stage}}])]
